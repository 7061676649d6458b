"""Put the gradients that backward returns in the order of the inputs.

Backward returns ``dx, dw, db`` for a forward that takes ``x, w, b``. Some code uses another order, such as
``dw, db, dx``. If the shapes do not fit the order of the inputs, the order comes from the names in the ``return``
statement. Without such names, the order comes from the shapes, if only one order fits.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Sequence
from itertools import combinations, permutations
from typing import Any

from ..gradient_names import gradient_of
from ..nested import float_leaves
from .matching import fits

MANY = 6  # if there are more gradients, their order is found from their names only, not from their shapes


def returned_gradient_names(function: Callable) -> list[str]:
    """Return the names in the last ``return`` statement that returns several values.

    The name of an expression such as ``2 * dx`` is "". A tuple inside a tuple is unpacked. The list is empty if the
    source text is not available.

    Examples
    --------
    >>> import statistics
    >>> returned_gradient_names(statistics.linear_regression), returned_gradient_names(len)
    ([], [])
    """
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function))))
    except (OSError, TypeError, SyntaxError, ValueError):
        return []
    body = tree.body[0] if tree.body else None
    if not isinstance(body, ast.FunctionDef):  # a lambda
        return []
    inner = {id(n) for f in ast.walk(body) if isinstance(f, ast.FunctionDef) and f is not body for n in ast.walk(f)}
    returned = [n.value for n in ast.walk(body) if isinstance(n, ast.Return) and id(n) not in inner]
    tuples = [value for value in returned if isinstance(value, ast.Tuple)]
    return names_in(max(tuples, key=lambda value: value.lineno)) if tuples else []


def names_in(value: ast.expr) -> list[str]:
    """Return the name of each variable or attribute in a tuple, and "" for any other expression."""
    if isinstance(value, (ast.Tuple, ast.List)):
        return [name for item in value.elts for name in names_in(item)]
    return [getattr(value, "id", getattr(value, "attr", ""))]


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
    expected = floats if len(result) >= len(inputs) else range(len(floats))  # positions of the inputs' gradients
    if all(fits(inputs[i], result[j]) for i, j in zip(floats, expected, strict=True)):
        return result, ""
    order, known = ", ".join(names[i] for i in floats), returned()[-len(result) :]
    by_name = [next((j for j, n in enumerate(known) if n and names[i] in gradient_of(n)), None) for i in floats]
    if None not in by_name and len(set(by_name)) == len(floats) and len(known) == len(result):
        if not all(fits(inputs[i], result[j]) for i, j in zip(floats, by_name, strict=True)):
            return result, ""  # a gradient of the wrong shape
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
    """Do the same as `in_input_order`, for a backward that returns gradients for some of the inputs only.

    If the shapes fit the order of the inputs, return `result`. If the shapes fit another order only, return a
    dictionary from the names of the inputs to their gradients, and a note.

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
    known = returned()[-len(result) :] or [""] * len(result)
    named = [way for way in chosen if all(n and name in gradient_of(n) for name, n in zip(way, known, strict=False))]
    way = (named or chosen)[0]
    said = f"the gradients that backward returns were assigned to {', '.join(way)}, in this order"
    return dict(zip(way, result, strict=True)), said


def reordered(result: Sequence[Any], inputs: tuple, floats: list[int], way: Sequence[int]) -> list[Any]:
    """Return a list with one gradient for each input, followed by all other gradients.

    The gradient of an input that is not a float is None.
    """
    chosen = dict(zip(floats, way, strict=True))
    rest = [g for j, g in enumerate(result) if j not in way]
    given = [result[chosen[i]] if i in chosen else None for i in range(len(inputs))]
    return [*given, *(g for g in rest if g is not None)]
