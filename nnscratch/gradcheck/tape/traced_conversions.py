"""Keep an array traced if the user's code converts it, as ``x = np.asarray(x, dtype=float)`` does.

NumPy's conversions return plain arrays. While a tape runs, `traced_conversions` replaces `np.array` and `np.asarray` by
versions that return a traced array for a traced array. For a list of traced arrays of one shape, both call `np.stack`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import numpy as np

from .traced_array import TracedArray, running

NAMES = ("array", "asarray")


@contextmanager
def traced_conversions() -> Iterator[None]:
    """In a ``with`` block, replace `np.array` and `np.asarray` by versions that keep arrays traced."""
    held = {name: getattr(np, name) for name in NAMES}

    def version(convert: Callable) -> Callable:
        @wraps(convert)
        def traced(*arguments: Any, **options: Any) -> Any:
            value = arguments[0] if arguments else options.get("object", options.get("a"))
            found = convert(*arguments, **options)
            if not running or type(found) is not np.ndarray or found.dtype.kind != "f":
                return found
            if isinstance(value, TracedArray):
                return found.view(type(value))
            return np.stack(value) if is_traced_list(value, found) else found

        return traced

    try:
        for name, convert in held.items():
            setattr(np, name, version(convert))
        yield
    finally:
        for name, convert in held.items():
            setattr(np, name, convert)


def is_traced_list(value: Any, found: np.ndarray) -> bool:
    """Return True if `value` is a list of arrays of one shape, and at least one of the arrays is traced.

    `found` is the array that NumPy made from the list. It must contain the arrays along axis 0.
    """
    if not isinstance(value, (list, tuple)) or not any(isinstance(item, TracedArray) for item in value):
        return False
    same = (isinstance(item, np.ndarray) and item.dtype == found.dtype for item in value)
    return all(same) and found.shape == (len(value), *value[0].shape)
