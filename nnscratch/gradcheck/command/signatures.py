"""Describe the code of a file for the judge: the arguments of functions, of classes, and of their forward."""

from __future__ import annotations

import ast
import inspect
import textwrap
from typing import Any

from ..adapters.calls import is_gradient_argument
from ..adapters.contexts import takes_context
from ..adapters.losses import LOSS_METHODS
from ..adapters.object_forms import BACKPROPS, BACKWARDS, FORWARDS

FORWARD = (*FORWARDS, "loss", *LOSS_METHODS)


def needs_no_instance(found: Any) -> bool:
    """Return True for a class with a static forward, or with a forward that takes a context."""
    if not inspect.isclass(found) or not callable(getattr(found, "forward", None)):
        return False
    is_static = isinstance(inspect.getattr_static(found, "forward"), (staticmethod, classmethod))
    return is_static or takes_context(found.forward)


def makes_an_object(function: Any) -> bool:
    """Return True if a function requires no arguments. Such a function returns the object to check."""
    return not any(not a["optional"] for a in arguments(function) if "VAR" not in a["kind"])


def forward_of(found: Any) -> Any:
    """Return the method of an object or class that computes the outputs, such as ``forward``, or None."""
    if not any(hasattr(found, name) for name in (*BACKWARDS, *BACKPROPS)) and hasattr(found, "loss"):
        return found.loss
    for name in FORWARD:
        if name == "__call__" and inspect.isclass(found) and "__call__" not in dir_of_class(found):
            continue
        if callable(getattr(found, name, None)):
            return getattr(found, name)
    return None


def taken_by_backprop(found: Any) -> list[dict[str, Any]]:
    """Return the arguments of ``backprop(x, y)`` of a class or object.

    The list is empty if there is no ``backprop``, if there is a backward, or if ``backprop`` takes dy.
    """
    method = getattr(found, "backprop", None)
    if not callable(method) or hasattr(found, "backward"):
        return []
    taken = arguments(method)[inspect.isclass(found) :]
    return taken if len(taken) > 1 and not is_gradient_argument(taken[0]["name"]) else []


def dir_of_class(cls: type) -> set[str]:
    """Return the names that a class and its bases define, without those of its metaclass."""
    return {name for base in cls.__mro__ for name in vars(base)}


def arguments(function: Any) -> list[dict[str, Any]]:
    """Return a dictionary for each argument of a function or class: its name, kind, default and annotation.

    The item "keys" lists the keys that the function uses if the argument is a dictionary: see `keys_used`.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return []
    found, keys = [], keys_used(function)
    for p in signature.parameters.values():
        annotation = p.annotation
        found.append(
            {
                "name": p.name,
                "kind": p.kind.name,
                "optional": p.default is not p.empty,
                "default": plain_default(p.default),
                "keys": keys.get(p.name, []),
                "annotation": "" if annotation is p.empty else getattr(annotation, "__name__", str(annotation)),
            }
        )
    return found


def keys_used(function: Any) -> dict[str, list[str]]:
    """Return the keys that a function uses to index dictionaries, by the name of the variable.

    For example, the result is {"params": ["W1", "b1"]} for a function that contains ``params["W1"]`` and
    ``params["b1"]``. For a computed key, such as ``"W" + str(layer)``, the result contains only the constant start
    of the key, "W". The result also contains the keys in the functions that `function` calls, because `function` may
    pass a dictionary to an argument with the same name.
    """
    found: dict[str, list[str]] = {}
    queue, seen = [function], {id(function)}
    while queue:
        function = queue.pop(0)
        for name, key in keys_in_source(function):
            keys = found.setdefault(name, [])
            keys += [key] if key not in keys else []
        names = getattr(getattr(function, "__code__", None), "co_names", ())
        for other in [getattr(function, "__globals__", {}).get(name) for name in names]:
            if inspect.isfunction(other) and id(other) not in seen and other.__module__ == function.__module__:
                queue.append(other)
                seen.add(id(other))
    return found


def keys_in_source(function: Any) -> list[tuple[str, str]]:
    """Return (variable, key) for each expression such as ``params["W1"]`` in the source of a function."""
    found: list[tuple[str, str]] = []
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return found
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
            key: Any = node.slice
            key = key.values[0] if isinstance(key, ast.JoinedStr) and key.values else key  # f"W{layer}"
            key = key.left if isinstance(key, ast.BinOp) else key  # "W" + str(layer)
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                found.append((node.value.id, key.value))
    return found


def plain_default(value: Any) -> Any:
    """Return a default value if it is a number, a text or a tuple of integers. Return None for any other value."""
    if isinstance(value, (bool, int, float, str)):
        return value
    return value if isinstance(value, tuple) and all(type(n) is int for n in value) else None
