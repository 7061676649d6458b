"""Read a Python file and list the code that can be checked. The file is not run, so its code cannot change the list.

The list contains

    X_forward and X_backward                a pair; also X and X_backward, forward_X and backward_X, X_forward_naive ...
    a class with forward and backward       the methods may be inherited from a class of the same file
    a pair whose backward takes labels      with its cost function: L_model_forward, L_model_backward, compute_cost
    X_loss that returns (loss, gradient)    also X_cost, loss_X, cost_X
    a class whose loss returns gradients    such as CS231n's networks; also a class with loss and gradient
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from ..adapters.matching import is_target_name

FORWARD_METHODS = ("forward", "predict", "__call__", "feedforward")
BACKWARD_METHODS = ("backward", "backprop")
LOSS = re.compile(r"(?:^|_)(?:loss|cost|propagate)(?:_|\d|$)")


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
    items = [*pairs(functions), *losses(functions), *checkable_classes(classes)]
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
        if "backward" not in backward or backward.startswith("_"):
            continue
        forward = partner(backward, functions)
        if forward is None:
            yield Item(backward, [backward], "there is no forward function for it")
            continue
        several = forward in used
        used.add(forward)
        yield Item(backward if several else forward, [forward, backward, *cost_between(forward, backward, functions)])
    for forward in functions:
        if "forward" in forward and forward not in used and not forward.startswith("_"):
            missing = forward.replace("forward", "backward")
            yield Item(forward, [forward], f"there is no {missing}")


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
    exact = backward.replace("backward", "forward")
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
        is_loss = LOSS.search(name) and not name.startswith("_")
        if is_loss and "backward" not in name and "forward" not in name and returns_several(node):
            yield Item(name, [name])


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

    Also yield the classes with a forward and no backward, with the reason why they cannot be checked.
    """
    bases = {b.id for node in classes.values() for b in node.bases if isinstance(b, ast.Name)}
    for name, node in classes.items():
        if name.startswith("_"):
            continue
        methods = methods_of(node, classes)
        forward = next((methods[m] for m in FORWARD_METHODS if m in methods), None)
        backward = next((methods[m] for m in BACKWARD_METHODS if m in methods), None)
        if forward is not None and backward is not None:
            if not (name in bases and is_abstract(forward)):
                yield Item(name, [name])
        elif "forward" in methods and not (name in bases and is_abstract(forward)):
            if not has_other_bases(node, classes):
                yield Item(name, [name], "it has no backward")
        elif "loss" in methods and (returns_several(methods["loss"]) or "gradient" in methods):
            yield Item(name, [name])


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
