"""Places: where the checked code stores its arrays, such as ``self.fc1.W`` or ``self.grads['W']``.

A place is the path to an array, a tuple of steps. For example, the path to ``self.grads['W']`` ends with the steps
``("attribute", "grads")`` and ``("item", "W")``. A path begins at the roots: the objects that a :class:`Snapshot`
records. `value_at` follows the steps again at every use, because the code may replace an object on the way. For
example, ``self.dW = ...`` makes a new array in every backward.
"""

from __future__ import annotations

import types
from collections.abc import Sequence
from typing import Any

from .nested import ABSENT, attribute_of
from .snapshot import Steps, default_names

OUTSIDE = ("variable", "global", "default", "keyword default")  # kinds of steps to places outside the checked object


def value_at(roots: Sequence[Any], steps: Steps) -> Any:
    """Return the object at a place: follow `steps` from `roots`.

    Raises
    ------
    LookupError, AttributeError, TypeError, ValueError
        The place does not exist, because the code has removed an object on the way to it.
    """
    value: Any = roots
    for kind, key in steps:
        value = follow(value, kind, key)
    return value


def follow(value: Any, kind: str, key: Any) -> Any:
    """Follow one step of a place: return an attribute or an item of `value`, or a variable of the function `value`.

    For example, ``follow(layer, "attribute", "W")`` returns ``layer.W``.
    """
    if kind in ("root", "item"):
        return value[key]
    if kind in ("attribute", "class attribute"):
        held = attribute_of(value, key, ABSENT)
        if held is ABSENT:
            raise AttributeError(f"{type(value).__name__} has no attribute {key}")
        return held
    if kind == "method":
        return key
    if kind == "variable":
        return value.__closure__[value.__code__.co_freevars.index(key)].cell_contents
    if kind == "global":
        return value.__globals__[key]
    if kind == "default":
        return value.__defaults__[default_names(value).index(key)]
    if kind == "keyword default":
        return value.__kwdefaults__[key]
    if kind == "self":
        return value.__self__
    if kind == "function":
        return value.__func__
    raise LookupError(f"the members of a set have no place ({kind})")


def put_at(roots: Sequence[Any], steps: Steps, new: Any) -> None:
    """Put `new` at a place: set an attribute, an item, or a variable of a function."""
    holder = value_at(roots, steps[:-1])
    kind, key = steps[-1]
    if kind == "item":
        holder[key] = new
    elif kind == "attribute":
        setattr(holder, key, new)
    elif kind == "global":
        holder.__globals__[key] = new
    elif kind == "variable":
        holder.__closure__[holder.__code__.co_freevars.index(key)].cell_contents = new
    elif kind == "default":
        names = default_names(holder)
        holder.__defaults__ = tuple(new if n == key else v for n, v in zip(names, holder.__defaults__, strict=True))
    elif kind == "keyword default":
        holder.__kwdefaults__[key] = new
    else:
        raise TypeError(f"the value of {place_name(steps)} cannot be replaced")


def place_name(steps: Steps) -> str:
    """Return the name of a place as Python code.

    Examples
    --------
    >>> place_name((("root", 0), ("item", 0), ("attribute", "fc1"), ("attribute", "W")))
    'self.fc1.W'
    >>> place_name((("root", 0), ("item", 0), ("variable", "weights"), ("item", "W1")))
    "weights['W1']"
    """
    name = "self"
    for number, (kind, key) in enumerate(steps):
        if kind in ("attribute", "class attribute"):
            name = f"{name}.{key}"
        elif kind == "item" and number > 1:  # the first two steps lead to the checked code
            name = f"{name}[{key!r}]"
        elif kind in OUTSIDE:
            name = key
    return name


def short_names(all_steps: list[Steps], taken: set[str]) -> dict[Steps, str]:
    """Return a short name for each place: ``W`` for ``self.params['W']``, if no other array has this name."""
    names = {}
    for steps in all_steps:
        path = place_name(steps[:-1] if steps[-1][1] in ("data", "value", "val") and len(steps) > 3 else steps)
        path = path.removeprefix("self.")
        inner = [key for kind, key in steps[2:] if kind in ("attribute", "item", *OUTSIDE)]
        short = inner[-1] if len(inner) == 2 and steps[-1][0] == "item" and isinstance(inner[-1], str) else path
        names[steps] = short if short not in taken and short not in names.values() else path
        if names[steps] in taken or list(names.values()).count(names[steps]) > 1:
            names[steps] = place_name(steps)
    return names


def is_outside(steps: Steps) -> bool:
    """Return True if `steps` lead to a global, a closure variable or a default argument of a function."""
    return steps[-1][0] in OUTSIDE


def holder_types(roots: Sequence[Any], steps: Steps) -> list[type]:
    """Return the types of the objects on the way to an array. For self.fc1.W, the last type is that of fc1."""
    value, found = roots, []
    for kind, key in steps[:-1]:
        value = follow(value, kind, key)
        if not isinstance(value, (types.FunctionType, types.MethodType)):
            found.append(type(value))
    return found
