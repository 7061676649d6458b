"""Sort the gradients from backward into the order of the inputs.

Usually, backward returns ``dx, dw, db`` for a forward that takes ``x, w, b``. Some code uses another order, such as
``dw, db, dx``. If the shapes do not fit the order of the inputs, the order comes from the names in the ``return``
statement. Without such names, the order comes from the shapes, if only one order fits.
"""

from __future__ import annotations

import ast
import dis
import inspect
import textwrap
from collections.abc import Callable, Sequence
from itertools import combinations, permutations
from typing import Any, NamedTuple

from ..gradient_names import gradient_of
from ..nested import attribute_of, float_leaves, is_array, leaves, share_memory
from ..snapshot import equal_arrays
from .matching import fits, shape_of

MANY = 6  # the shapes of more than MANY gradients are not compared, because there are too many possible orders


def returned_gradient_names(function: Callable) -> list[str]:
    """Return the names in the last ``return`` statement that returns several values.

    An expression such as ``2 * dx`` has the name "". If an item is itself a tuple, the list contains the names in this
    inner tuple. The list is empty if the names are not known, as for a function in C.

    Examples
    --------
    >>> import statistics
    >>> returned_gradient_names(statistics.linear_regression), returned_gradient_names(len)
    ([], [])
    """
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function))))
    except (OSError, TypeError, SyntaxError, ValueError):  # for example, the code was typed at Python's prompt
        return names_in_code(function)
    body = tree.body[0] if tree.body else None
    name = getattr(getattr(inspect.unwrap(function), "__code__", None), "co_name", "")
    if not isinstance(body, ast.FunctionDef) or body.name != name:
        # A lambda has no return statement. If the function is not a lambda, the text that inspect found does not belong
        # to the function. For example, code from `python -c` and code from exec have the same file name, "<string>",
        # and since Python 3.13, inspect finds the text of `python -c` under this name.
        return [] if name == "<lambda>" else names_in_code(function)
    inner = {id(n) for f in ast.walk(body) if isinstance(f, ast.FunctionDef) and f is not body for n in ast.walk(f)}
    returned = [n.value for n in ast.walk(body) if isinstance(n, ast.Return) and id(n) not in inner]
    tuples = [value for value in returned if isinstance(value, ast.Tuple)]
    return names_in(max(tuples, key=lambda value: value.lineno)) if tuples else []


def names_in_code(function: Callable) -> list[str]:
    """Return the names in the last ``return`` statement that returns several values, from the compiled code.

    Examples
    --------
    >>> def backward(dy, x):
    ...     dx = dy
    ...     return 2 * dx, dy.sum(), dx
    >>> names_in_code(backward)
    ['', '', 'dx']
    """
    code = getattr(inspect.unwrap(getattr(function, "__func__", function)), "__code__", None)
    steps = [] if code is None else [part for step in dis.get_instructions(code) for part in simple_steps(step)]
    ends = [k for k, step in enumerate(steps) if step.name == "BUILD_TUPLE" and steps[k + 1].name == "RETURN_VALUE"]
    if not ends:
        return []
    end, names = ends[-1], []
    for _ in range(steps[end].value):
        last, height = steps[end - 1], 0
        if last.name == "BUILD_TUPLE":  # a tuple inside the tuple: its names are not known
            return []
        names.append(
            last.value if last.name.startswith(("LOAD_FAST", "LOAD_DEREF", "LOAD_GLOBAL", "LOAD_ATTR")) else ""
        )
        while height < 1:  # go back to the first step of the expression that computes this value
            if steps[end].is_target:  # the code branches, as for "dx if x else dy"
                return []
            end -= 1
            height += steps[end].effect
    return names[::-1]


class Step(NamedTuple):
    """An instruction of the compiled code: its name, its value, and its effect on the height of the stack.

    `is_target` is True if another instruction jumps to this one.
    """

    name: str
    value: Any
    effect: int
    is_target: bool


def simple_steps(step: dis.Instruction) -> list[Step]:
    """Return the `Step` of an instruction, or two steps if the instruction loads two names (since Python 3.13)."""
    if isinstance(step.argval, tuple) and step.opname.startswith("LOAD_FAST"):
        first = step.is_jump_target  # a jump to this instruction is a jump to its first step
        return [Step("LOAD_FAST", name, 1, first and k == 0) for k, name in enumerate(step.argval)]
    value = step.arg if step.opname == "BUILD_TUPLE" else step.argval
    return [Step(step.opname, value, dis.stack_effect(step.opcode, step.arg), step.is_jump_target)]


def names_in(value: ast.expr) -> list[str]:
    """Return the name of each variable or attribute in a tuple, and "" for any other expression."""
    if isinstance(value, (ast.Tuple, ast.List)):
        return [name for item in value.elts for name in names_in(item)]
    return [getattr(value, "id", getattr(value, "attr", ""))]


def whole_input(result: Any, names: list[str], inputs: tuple, returned: Callable[[], list[str]]) -> str | None:
    """If `result` contains the gradients of one input that is a list of parameters, return the name of this input.

    Otherwise, return None.

    Code such as ``loss, grads = rnn_loss(params, inputs, targets)`` returns one gradient for each array in ``params``.
    But `result` may also be the gradients of the first inputs. For example, if the inputs are ``x, [h]``, and x and h
    have the same shape, the result ``(g,)`` may belong to x or to the list. Then the names in the ``return`` statement
    decide. The function `returned` returns these names. Without names, a list belongs to the list of parameters, and a
    tuple belongs to the first inputs.

    Examples
    --------
    >>> import numpy as np
    >>> w, b = np.ones((3, 2)), np.ones(2)
    >>> whole_input([w, b], ["params", "x"], ([w, b], np.ones((4, 3))), lambda: [])
    'params'
    >>> [whole_input((b,), ["x", "hs"], (b, [b]), lambda: [name]) for name in ("dx", "dh")]
    [None, 'hs']
    """
    if not isinstance(result, (tuple, list)):
        return None
    given = [shape_of(g) if is_array(g) else None for g in result]
    if None in given:
        return None
    nested = [(n, v) for n, v in zip(names, inputs, strict=True) if isinstance(v, (tuple, list))]
    same = [n for n, v in nested if [shape_of(leaf) for _, leaf in leaves(n, v)] == given and len(v) == len(result)]
    if len(same) != 1 or len(float_leaves(dict(nested)[same[0]])) != len(result):
        return None
    of = {array for name in returned()[-len(result) :] if name for array in gradient_of(name)}
    floats = [(n, v) for n, v in zip(names, inputs, strict=True) if float_leaves(v)]
    if of.intersection(n for n, v in floats if is_array(v)):
        return None
    first = [is_array(v) and fits(v, g) for (_, v), g in zip(floats, result, strict=False)]
    if isinstance(result, list) or not all(first) or of & {same[0], same[0].removesuffix("s")}:
        return same[0]
    return None


def gradients_of_outside(
    function: Callable, result: tuple, names: list[str], inputs: tuple, returned: Callable[[], list[str]]
) -> tuple[dict[str, Any], Any]:
    """Return the gradients of arrays that are not inputs of the function, and the gradients of its inputs.

    An example is Karpathy's ``lossFun``, which returns ``loss, dWxh, dWhh, hs[-1]`` for the globals ``Wxh`` and
    ``Whh``. Another example is a method that returns ``loss, dW`` for ``self.W``. The names in the ``return`` statement
    show which gradient belongs to such an array. If there is such a gradient, another gradient belongs to an input only
    if the name of the gradient shows it. For example, after ``self.x = inputs``, ``dx`` is the gradient of ``inputs``.

    Examples
    --------
    >>> import numpy as np
    >>> w = np.ones(2)
    >>> def loss(x):
    ...     dw, dx = x, w
    ...     return x @ w, dw, dx
    >>> outside = gradients_of_outside(loss, (np.zeros(2), w), ["x"], (w + 1,), lambda: ["", "dw", "dx"])
    >>> {name: g.tolist() for name, g in outside[0].items()}, [name for name in outside[1]]
    ({'dw': [0.0, 0.0]}, ['x'])
    """
    known, floats = returned()[-len(result) :], [value for value in inputs if float_leaves(value)]
    if len(known) != len(result):
        return {}, result
    # If each gradient fits an input, all gradients belong to inputs. Do not search for other arrays then: if backward
    # reads a global x by mistake, the search would take dx for the gradient of this global.
    if len(floats) == len(result) and all(map(fits, floats, result)):
        return {}, result
    of = [gradient_of(n) if n else [] for n in known]
    own = [next((x for x in names if x in arrays), None) for arrays in of]
    unnamed = [(x, value) for x, value in zip(names, inputs, strict=True) if x not in own]
    outside = {}
    for k, gradient in enumerate(result):
        array = None if own[k] is not None else array_outside(function, of[k])
        if array is not None:
            own[k] = next((x for x, value in unnamed if is_saved(value, array)), None)
            if own[k] is None:
                outside[known[k]] = gradient
    if not outside:
        return {}, result
    return outside, {x: g for x, g in zip(own, result, strict=True) if x is not None}


def array_outside(function: Callable, names: list[str]) -> Any:
    """Return the first array that has one of `names` and that `function` reads, or None.

    The array is a global variable, a variable of an outer function, or an attribute of ``self``.
    """
    held = dict(attribute_of(getattr(function, "__self__", None), "__dict__", {}))
    try:
        read = inspect.getclosurevars(inspect.unwrap(function))
    except (TypeError, ValueError):
        return None
    held |= read.nonlocals
    # read.globals lists a global x even if the function reads only the attribute self.x. So use only the globals that
    # an instruction loads.
    if any(n in read.globals for n in names):
        loaded = {s.argval for s in dis.get_instructions(inspect.unwrap(function)) if s.opname == "LOAD_GLOBAL"}
        held |= {n: read.globals[n] for n in names if n in loaded}
    return next((held[n] for n in names if is_array(held.get(n))), None)


def is_saved(value: Any, array: Any) -> bool:
    """Return True if `array` is the input `value`, or a copy of this input that forward has saved.

    An array of zeros does not count as a copy of another array of zeros. For example, the first state and a bias may
    both be zero.
    """
    return share_memory(value, array) or (is_array(value) and bool(value.any()) and equal_arrays(value, array))


def in_input_order(
    result: Sequence[Any], names: list[str], inputs: tuple, returned: Callable[[], list[str]]
) -> tuple[Any, str]:
    """Return the gradients in the order of the inputs, and a note if backward uses another order.

    Parameters
    ----------
    result : tuple or list
        The gradients that backward returned.
    names : list of str
        The names of the inputs.
    inputs : tuple
    returned : callable
        Returns the names of the gradients in backward's ``return`` statement. This function is called only if the
        shapes do not fit the order of the inputs.

    Examples
    --------
    >>> import numpy as np
    >>> x, w, b = np.ones((4, 3)), np.ones((3, 2)), np.ones(2)
    >>> gradients, note = in_input_order((w, b, x), ["x", "w", "b"], (x, w, b), lambda: ["dw", "db", "dx"])
    >>> [g.shape for g in gradients], note
    ([(4, 3), (3, 2), (2,)], 'backward returns dw, db, dx; the checker matched them to x, w, b by their names')
    """
    floats = [i for i, value in enumerate(inputs) if float_leaves(value)]
    if len(result) < len(floats):
        return some_in_input_order(result, [(names[i], inputs[i]) for i in floats], returned)
    # If the gradients are in the order of the inputs, these are their positions in `result`, one for each float input.
    expected = floats if len(result) >= len(inputs) else range(len(floats))
    if all(fits(inputs[i], result[j]) for i, j in zip(floats, expected, strict=True)):
        return result, ""
    order, known = ", ".join(names[i] for i in floats), returned()[-len(result) :]
    by_name = [next((j for j, n in enumerate(known) if n and names[i] in gradient_of(n)), None) for i in floats]
    if None not in by_name and len(set(by_name)) == len(floats) and len(known) == len(result):
        if not all(fits(inputs[i], result[j]) for i, j in zip(floats, by_name, strict=True)):
            return result, ""  # a gradient has the wrong shape
        said = f"backward returns {', '.join(known)}; the checker matched them to {order} by their names"
        return reordered(result, inputs, floats, by_name), said
    if len(result) > MANY or any(g is None for g in result):
        return result, ""
    ways = [
        way
        for way in permutations(range(len(result)), len(floats))
        if all(fits(inputs[i], result[j]) for i, j in zip(floats, way, strict=True))
    ]
    if not ways:
        return result, ""
    said = f"backward does not return the gradients in the order {order}"
    if len(ways) > 1:
        return result, f"{said}, and several orders fit their shapes; return them in the order of the inputs"
    return reordered(result, inputs, floats, ways[0]), f"{said}; the checker matched them by their shapes"


def some_in_input_order(
    result: Sequence[Any], floats: list[tuple[str, Any]], returned: Callable[[], list[str]]
) -> tuple[Any, str]:
    """Do what `in_input_order` does, for a backward that returns gradients of only some inputs.

    If the shapes fit the order of the inputs, return `result`. If the shapes fit only another order, return a
    dictionary with the gradient of each input by its name, and a note.

    Examples
    --------
    >>> import numpy as np
    >>> floats = [("x", np.ones((4, 3))), ("w", np.ones((3, 2))), ("b", np.ones(2))]
    >>> gradients, note = some_in_input_order((np.ones(2), np.ones((3, 2))), floats, lambda: [])
    >>> {name: g.shape for name, g in gradients.items()}
    {'b': (2,), 'w': (3, 2)}
    """
    if len(floats) > MANY or any(g is None for g in result):
        return result, ""

    def all_fit(way: Sequence[tuple[str, Any]]) -> bool:
        return all(fits(value, g) for (_, value), g in zip(way, result, strict=True))

    if any(map(all_fit, combinations(floats, len(result)))):  # the order of the inputs fits
        return result, ""
    chosen = [[name for name, _ in way] for way in permutations(floats, len(result)) if all_fit(way)]
    if not chosen:
        return result, ""
    known = returned()[-len(result) :]

    def agreeing(way: list[str]) -> int:
        return sum(bool(n) and name in gradient_of(n) for name, n in zip(way, known, strict=False))

    way = max(chosen, key=agreeing)  # of ways with as many known names, the first
    said = f"the checker assigned the gradients from backward to {', '.join(way)}, in this order"
    return dict(zip(way, result, strict=True)), said


def reordered(result: Sequence[Any], inputs: tuple, floats: list[int], way: Sequence[int]) -> list[Any]:
    """Return a list with one gradient for each input, followed by all other gradients.

    The gradient of an input that is not a float is None.
    """
    chosen = dict(zip(floats, way, strict=True))
    rest = [g for j, g in enumerate(result) if j not in way]
    given = [result[chosen[i]] if i in chosen else None for i in range(len(inputs))]
    return [*given, *(g for g in rest if g is not None)]
