"""Nested tuples, lists and dictionaries of arrays, as forward takes and returns them.

A leaf is an array or any other single value. If the tuple (h, c) is called ``state``, its leaves are called
``state[0]`` and ``state[1]``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .. import backend

ABSENT = object()  # stands for the value of an attribute or a variable that does not exist
PLAIN = frozenset((float, int, bool, str, tuple, list, dict, type(None), np.float64))  # these types are not arrays


def is_array(value: Any) -> bool:
    """Return True for a NumPy or CuPy array of any dtype."""
    if isinstance(value, np.ndarray):
        return True
    if type(value) in PLAIN:
        return False
    cupy = sys.modules.get("cupy")
    if cupy is not None and isinstance(value, cupy.ndarray):
        return True
    # Look the method up in the class, because the object may define __getattr__, which may raise any error.
    return hasattr(type(value), "__array_namespace__") and not isinstance(value, np.generic)


def attribute_of(value: Any, name: str, default: Any = None) -> Any:
    """Return an attribute of an object of the checked code, or `default` if reading it raises an error.

    `getattr` returns its default only after an AttributeError. But a property or a ``__getattr__`` may raise any error.

    Examples
    --------
    >>> class Settings(dict):
    ...     def __getattr__(self, name):
    ...         return self[name]
    >>> attribute_of(Settings(lr=0.1), "lr"), attribute_of(Settings(lr=0.1), "forward")
    (0.1, None)
    """
    try:
        return getattr(value, name, default)
    except Exception:  # the checked code may raise any error
        return default


def has_attribute(value: Any, name: str) -> bool:
    """Return True if `value` has the attribute, and reading it raises no error."""
    return attribute_of(value, name, ABSENT) is not ABSENT


def array_module(array: Any) -> Any:
    """Return the module of an array, numpy or cupy. Masked arrays and matrices belong to numpy."""
    return np if isinstance(array, np.ndarray) else backend.array_module(array)


def to_numpy(array: Any) -> np.ndarray:
    """Return a NumPy array. A `numpy.matrix` becomes a plain array, because a matrix's ``*`` is not elementwise."""
    if isinstance(array, np.matrix):
        return np.asarray(array)
    return array if isinstance(array, np.ndarray) else backend.to_numpy(array)


def share_memory(a: Any, b: Any) -> bool:
    """Return True if `a` and `b` are the same array, or are NumPy arrays that share memory."""
    return a is b or isinstance(a, np.ndarray) and isinstance(b, np.ndarray) and np.shares_memory(a, b)


def is_float(value: Any) -> bool:
    """Return True for a value that can be differentiated: a float array or a single float."""
    if is_array(value):
        return value.dtype.kind == "f"
    return isinstance(value, (float, np.floating))


def is_writeable(array: Any) -> bool:
    """Return False for a read-only array. CuPy's arrays have no such flag and can always be changed."""
    return getattr(attribute_of(array, "flags"), "writeable", True)


def has_no_axes(value: Any) -> bool:
    """Return True for a single number, and for an array of shape ()."""
    return getattr(value, "ndim", 0) == 0 and not isinstance(value, (tuple, list, dict))


def leaves(name: str, nest: Any) -> Iterator[tuple[str, Any]]:
    """Yield the name and the value of every leaf.

    Examples
    --------
    >>> list(leaves("state", (1.0, [2.0, {"c": 3.0}])))
    [('state[0]', 1.0), ('state[1][0]', 2.0), ("state[1][1]['c']", 3.0)]
    """
    if isinstance(nest, (tuple, list)):
        for number, value in enumerate(nest):
            yield from leaves(f"{name}[{number}]", value)
    elif isinstance(nest, dict):
        for key, value in nest.items():
            yield from leaves(f"{name}[{key!r}]", value)
    else:
        yield name, nest


def map_leaves(function: Callable[[Any], Any], nest: Any) -> Any:
    """Apply `function` to every leaf, and return the results in the same nested structure."""
    if isinstance(nest, (tuple, list)):
        values = [map_leaves(function, value) for value in nest]
        return type(nest)(*values) if hasattr(nest, "_fields") else type(nest)(values)
    if isinstance(nest, dict):
        return {key: map_leaves(function, value) for key, value in nest.items()}
    return function(nest)


def float_leaves(nest: Any) -> list[Any]:
    """Return the leaves that can be differentiated, in order."""
    return [leaf for _, leaf in leaves("", nest) if is_float(leaf)]
