"""Find the arrays and numbers that may be parameters or gradients. pairing.py uses these functions."""

from __future__ import annotations

from typing import Any

import numpy as np

from .nested import is_array, is_writeable, share_memory, to_numpy
from .places import place_name
from .snapshot import Snapshot, Steps, equal_arrays, is_number_sequence

Places = dict[Steps, Any]


def own_numbers(snapshot: Snapshot, known: list[Any]) -> Places:
    """Return the arrays and numbers in the user's objects, except arrays that share memory with an array in `known`."""
    return {
        steps: value
        for steps, value in snapshot.places
        if steps[0] == ("root", 0)
        if not is_array(value) or (value.dtype.kind in "fiuO" and value.size)
        if not shares_memory_with_any(value, known)
    }


def changes_in_place(value: Any) -> bool:
    """Return True for a writable float array: the check changes its elements in place.

    Any other value is replaced by a float64 array during the check.
    """
    return is_array(value) and value.dtype.kind == "f" and is_writeable(value)


def shares_memory_with_any(value: Any, arrays: list[Any]) -> bool:
    """Return True if `value` is an array that shares memory with one of `arrays`."""
    return is_array(value) and any(share_memory(value, a) for a in arrays)


def is_unchanged(snapshot: Snapshot, value: Any) -> bool:
    """Return True if an array or a sequence still has its values from `snapshot`. For a single number, return True."""
    old = snapshot.values_of(value)
    return old is None or equal_arrays(value if is_array(value) else np.array(value), old)


def copied(value: Any) -> Any:
    """Return a NumPy copy of an array or of a sequence of numbers. Return a single number unchanged."""
    if is_number_sequence(value):
        return np.array(value, dtype=np.float64)
    return to_numpy(value).copy() if is_array(value) else value


def gradient_name(steps: Steps) -> str:
    """Return the name that a note uses for a gradient, such as ``self.dW``."""
    if steps[0][0] == "returned":
        return "a gradient that backward returns"
    return place_name(steps)
