"""Nested tuples, lists and dictionaries of arrays: what goes into a target and what comes out of it.

A leaf is an array or a number; ``("state", (h, c))`` has the leaves ``state[0]`` and ``state[1]``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .. import backend


def is_array(value: Any) -> bool:
    """True for a NumPy or CuPy array, of any dtype."""
    try:
        backend.array_module(value)
    except TypeError:
        return False
    return True


def is_float(value: Any) -> bool:
    """True for what can be differentiated: an array of floats, or a float number."""
    if is_array(value):
        return value.dtype.kind == "f"
    return isinstance(value, (float, np.floating))


def has_no_axes(value: Any) -> bool:
    """True for a number, and for an array that holds just one, without axes."""
    return getattr(value, "ndim", 0) == 0 and not isinstance(value, (tuple, list, dict))


def leaves(name: str, tree: Any) -> Iterator[tuple[str, Any]]:
    """Every leaf with its name.

    Examples
    --------
    >>> list(leaves("state", (1.0, [2.0, {"c": 3.0}])))
    [('state[0]', 1.0), ('state[1][0]', 2.0), ("state[1][1]['c']", 3.0)]
    """
    if isinstance(tree, (tuple, list)):
        for number, value in enumerate(tree):
            yield from leaves(f"{name}[{number}]", value)
    elif isinstance(tree, dict):
        for key, value in tree.items():
            yield from leaves(f"{name}[{key!r}]", value)
    else:
        yield name, tree


def transform(function: Callable[[Any], Any], tree: Any) -> Any:
    """The same nest with `function` applied to every leaf."""
    if isinstance(tree, (tuple, list)):
        values = [transform(function, value) for value in tree]
        return type(tree)(*values) if hasattr(tree, "_fields") else type(tree)(values)
    if isinstance(tree, dict):
        return {key: transform(function, value) for key, value in tree.items()}
    return function(tree)


def float_leaves(tree: Any) -> list[Any]:
    """The leaves that can be differentiated, in order."""
    return [leaf for _, leaf in leaves("", tree) if is_float(leaf)]
