"""Read a Python file and list the code that can be checked. The file is not run, so its code cannot change the list.

The list contains

    X_forward and X_backward                a pair; also X and X_backward, forward_X and backward_X, XForward ...
    X and X_prime, each with one argument   a function and its derivative; also X_derivative, X_grad, dX, d_X ...
    a class with forward and backward       also fprop and bprop ...; the methods may be inherited in the same file
    a pair whose backward takes labels      with its cost function: L_model_forward, L_model_backward, compute_cost
    X_loss that returns (loss, gradient)    also X_cost, loss_X, cost_X, XLoss, X_cross_entropy
    a class whose loss returns gradients    such as CS231n's networks; also a class with loss and gradient
    a class with __call__ and gradient      a loss or an activation; also grad, derivative ...
    a class whose forward keeps gradients   a model that returns the loss, and sets self.gradients
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from ..adapters.losses import GRADIENTS, LOSS_METHODS
from ..adapters.matching import is_target_name
from ..adapters.object_forms import BACKPROPS, BACKWARDS, FORWARDS
from ..adapters.slopes import SLOPE_METHODS

BACKWARD_METHODS = (*BACKWARDS, *BACKPROPS)
GRADIENT_METHODS = (*GRADIENTS, *SLOPE_METHODS)
LOSS = re.compile(r"(?:^|_)(?:loss|cost|propagate|cross_?entropy|regularization)(?:_|\d|$)")
DERIVATIVE = "prime derivative deriv der grad gradient dev d".split()


@dataclass
class Item:
    """Code in the file that can be checked: a class, or one to three functions.

    Attributes
    ----------
    label : str
        The name in the table. The label is also the NAME in ``FILE.py:NAME``.
    names : list of str
        The names of the code in the file: one function or class, two functions (forward and backward), or three
        functions (forward, backward and the cost).
    reason : str
        The reason why the code cannot be checked; "" if it can be checked.
    """

    label: str
    names: list[str]
    reason: str = ""


def discover(source: str) -> list[Item]:
    """Return all code that can be checked, in the order of the file.

    Raises
    ------
    SyntaxError
        The source is not valid Python.

    Examples
    --------
    >>> source = "def relu_forward(x): ...\\ndef relu_backward(dout, cache): ..."
    >>> [item.names for item in discover(source)]
    [['relu_forward', 'relu_backward']]
    """
    functions: dict[str, ast.FunctionDef] = {}
    classes: dict[str, ast.ClassDef] = {}
    order: dict[str, int] = {}
    for node in top_level(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            functions[node.name] = node
        elif isinstance(node, ast.ClassDef):
            classes[node.name] = node
        else:
            continue
        order[node.name] = node.lineno
    items = [*pairs(functions), *slopes(functions), *losses(functions), *checkable_classes(classes)]
    return sorted(items, key=lambda item: max(order[name] for name in item.names))


def find(source: str, name: str) -> Item | None:
    """Return the item with the label `name`, or else the item whose forward has this name.

    Return None if there is no such item.
    """
    items = discover(source)
    by_label = next((item for item in items if item.label == name), None)
    return by_label or next((item for item in items if item.names[0] == name), None)


def top_level(tree: ast.Module) -> Iterator[ast.AST]:
    """Yield the statements of a module, including those inside ``if``, ``try`` and ``with``."""
    queue = list(tree.body)
    while queue:
        node = queue.pop(0)
        yield node
        if isinstance(node, (ast.If, ast.Try, ast.With)):
            inside = [*node.body, *getattr(node, "orelse", [])]
            inside += [statement for handler in getattr(node, "handlers", []) for statement in handler.body]
            queue = inside + queue


def pairs(functions: dict[str, ast.FunctionDef]) -> Iterator[Item]:
    """Yield every pair of forward and backward, and every forward or backward without a partner."""
    used = set()
    for backward in functions:
        if not has_word(backward, "backward") or has_word(backward, "forward") or backward.startswith("_"):
            continue
        forward = partner(backward, functions)
        if forward is None:
            yield Item(backward, [backward], "there is no forward function for it")
            continue
        several = forward in used
        used.add(forward)
        yield Item(backward if several else forward, [forward, backward, *cost_between(forward, backward, functions)])
    for forward in functions:
        if has_word(forward, "forward") and not has_word(forward, "backward") and forward not in used:
            missing = forward.replace("forward", "backward").replace("Forward", "Backward")
            if not forward.startswith("_"):
                yield Item(forward, [forward], f"there is no {missing}")


def has_word(name: str, word: str) -> bool:
    """Return True if a name contains a word, as ``relu_forward`` and ``reluForward`` contain "forward"."""
    return word in name or word.capitalize() in name


def derivative_names(name: str) -> list[str]:
    """Return the usual names of the derivative of a function."""
    names = [f"{name}_{word}" for word in DERIVATIVE] + [f"d{name}", f"d_{name}"]
    return names + [f"{word}_{name}" for word in DERIVATIVE] + [f"{name}{word.capitalize()}" for word in DERIVATIVE]


def slopes(functions: dict[str, ast.FunctionDef]) -> Iterator[Item]:
    """Yield every function of one argument with its derivative, such as ``sigmoid`` and ``sigmoid_prime``."""
    for name, node in functions.items():
        if name.startswith("_") or len(arguments_of(node)) != 1 or not computes_a_value(node):
            continue
        for other in derivative_names(name):
            if other in functions and len(arguments_of(functions[other])) == 1 and computes_a_value(functions[other]):
                yield Item(name, [name, other])
                break


def computes_a_value(function: ast.FunctionDef) -> bool:
    """Return True if every ``return`` of a function has one value, which is not a tuple, a text or None."""
    values = [r.value for r in own_returns(function)]
    return bool(values) and not any(
        v is None or isinstance(v, (ast.Tuple, ast.Dict, ast.Lambda)) or isinstance(v, ast.Constant) for v in values
    )


def cost_between(forward: str, backward: str, functions: dict[str, ast.FunctionDef]) -> list[str]:
    """Return a list with the name of the cost function, or [] if backward does not need one.

    In deeplearning.ai's courses, a backward that takes labels returns the gradients of the cost. So a pair needs the
    cost function if backward takes labels and forward takes none. The cost function has two arguments: the output and
    the labels.
    """
    labels = set(arguments_of(functions[backward])) - set(arguments_of(functions[forward]))
    for name, node in functions.items():
        taken = arguments_of(node)
        if LOSS.search(name) and not returns_several(node) and len(taken) == 2 and is_target_name(taken[1]):
            return [name] if taken[1] in labels else []
    return []


def arguments_of(function: ast.FunctionDef) -> list[str]:
    """Return the names of the arguments that a function requires."""
    taken = [*function.args.posonlyargs, *function.args.args]
    return [a.arg for a in taken[: len(taken) - len(function.args.defaults)]]


def partner(backward: str, functions: dict[str, ast.FunctionDef]) -> str | None:
    """Return the name of the forward that belongs to `backward`, or None."""
    exact = backward.replace("backward", "forward").replace("Backward", "Forward")
    if exact in functions:
        return exact
    start, _, end = backward.partition("backward")
    bare = (start.rstrip("_") + end) if start else end.lstrip("_")
    if bare in functions:  # for example, relu is the forward of relu_backward
        return bare
    # batchnorm_backward_alt belongs to batchnorm_forward, and conv_backward belongs to conv_forward_naive
    same_start = [f for f in functions if f.startswith(f"{start}forward")]
    return same_start[0] if start and same_start else None


def losses(functions: dict[str, ast.FunctionDef]) -> Iterator[Item]:
    """Yield the functions that have the name of a loss and return several values."""
    for name, node in functions.items():
        is_loss = LOSS.search(snake_case(name)) and not name.startswith("_")
        if is_loss and not has_word(name, "backward") and not has_word(name, "forward") and returns_several(node):
            yield Item(name, [name])


def snake_case(name: str) -> str:
    """Return a name in lower case, with underscores between its words: ``softmax_loss`` for ``SoftmaxLoss``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def returns_several(function: ast.FunctionDef) -> bool:
    """Return True if a ``return`` of the function has at least two values."""
    return any(isinstance(r.value, ast.Tuple) and len(r.value.elts) > 1 for r in own_returns(function))


def own_returns(function: ast.AST) -> Iterator[ast.Return]:
    """Yield the ``return`` statements of a function, without those of functions inside it."""
    queue = list(ast.iter_child_nodes(function))
    while queue:
        node = queue.pop()
        if isinstance(node, ast.Return):
            yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            queue.extend(ast.iter_child_nodes(node))


def checkable_classes(classes: dict[str, ast.ClassDef]) -> Iterator[Item]:
    """Yield the classes with forward and backward, with a loss that returns gradients, or with loss and gradient.

    The loss or the activation of a class with a method ``gradient`` may also be computed by ``__call__``. Instead of a
    backward, a class may have a method that returns the loss and keeps the gradients. Also yield the other classes with
    a forward and no backward, with the reason why they cannot be checked.
    """
    bases = {b.id for node in classes.values() for b in node.bases if isinstance(b, ast.Name)}
    for name, node in classes.items():
        if name.startswith("_"):
            continue
        methods = methods_of(node, classes)
        forward = next((methods[m] for m in FORWARDS if m in methods), None)
        backward = next((methods[m] for m in BACKWARD_METHODS if m in methods), None)
        gradient = next((methods[m] for m in GRADIENT_METHODS if m in methods), None)
        abstract = forward is not None and is_abstract(forward)
        if forward is not None and backward is not None:
            if not (name in bases and abstract):
                yield Item(name, [name])
        elif "loss" in methods and (returns_several(methods["loss"]) or gradient is not None):
            if not (name in bases and is_abstract(methods["loss"])):
                yield Item(name, [name])
        elif forward is not None and gradient is not None and takes_the_same(forward, gradient):
            if not (name in bases and (abstract or is_abstract(gradient))):
                yield Item(name, [name])
        elif any(keeps_gradients(methods[m]) for m in ("forward", *LOSS_METHODS) if m in methods):
            yield Item(name, [name])
        elif "forward" in methods and not (name in bases and abstract):
            if not has_other_bases(node, classes):
                yield Item(name, [name], "it has no backward")


def takes_the_same(forward: ast.FunctionDef, gradient: ast.FunctionDef) -> bool:
    """Return True if two methods require the same number of arguments, and at least one besides ``self``."""
    return len(arguments_of(forward)) == len(arguments_of(gradient)) > 1


def keeps_gradients(method: ast.FunctionDef) -> bool:
    """Return True if a method assigns a gradient, such as ``self.gradients["W"] = ...``, and returns a value."""
    targets = [
        target
        for node in ast.walk(method)
        for target in (node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)])
        if isinstance(node, (ast.Assign, ast.AugAssign))
    ]
    names = [n.attr for target in targets for n in ast.walk(target) if isinstance(n, ast.Attribute)]
    return any("grad" in name.lower() for name in names) and any(r.value is not None for r in own_returns(method))


def methods_of(
    node: ast.ClassDef, classes: dict[str, ast.ClassDef], met: tuple[str, ...] = ()
) -> dict[str, ast.FunctionDef]:
    """Return the methods of a class, including those that it inherits from classes of the same file."""
    found: dict[str, ast.FunctionDef] = {}
    for base in reversed(node.bases):
        if isinstance(base, ast.Name) and base.id in classes and base.id not in met:
            found |= methods_of(classes[base.id], classes, (*met, base.id))
    return found | {m.name: m for m in node.body if isinstance(m, (ast.FunctionDef, ast.AsyncFunctionDef))}


def has_other_bases(node: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> bool:
    """Return True if a class inherits from a class of another file, such as ``nn.Module``."""
    known = {"object", "ABC"}
    return any(not (isinstance(b, ast.Name) and b.id in classes.keys() | known) for b in node.bases)


def is_abstract(method: ast.FunctionDef) -> bool:
    """Return True if the body is only a docstring, ``pass``, ``...`` or ``raise NotImplementedError``."""
    return all(
        isinstance(s, (ast.Pass, ast.Raise)) or isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant)
        for s in method.body
    )
