"""Replace the arrays in the user's objects by copies in another dtype, or by views that record operations (tape/)."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

from .nested import is_array
from .snapshot import Snapshot, refill


def cast_arrays(snapshot: Snapshot, dtype: Any) -> dict[int, Any]:
    """Replace every float array in `snapshot` that is less precise than `dtype` by a copy in `dtype`.

    The old arrays do not change, and ``snapshot.restore()`` puts them back.

    Returns
    -------
    dict of int to array
        The new arrays. The key of a new array is the ``id`` of the old array.
    """
    new = converted_copies(snapshot.arrays(), dtype)
    substitute(snapshot, new)
    return new


def converted_copies(arrays: list[Any], dtype: Any) -> dict[int, Any]:
    """Return copies in `dtype` of the float arrays that are less precise. The key of a copy is the array's ``id``.

    If arrays share memory, such as a flat array and its views, their copies share memory too. This is possible only for
    NumPy arrays; other arrays that share memory are left out.
    """
    small = [a for a in arrays if a.dtype.kind == "f" and a.dtype.itemsize < np.dtype(dtype).itemsize]
    groups: dict[int, list[Any]] = {}
    for array in small:
        owner = array if array.base is None else array.base
        groups.setdefault(id(owner), []).append(array)
    new = {}
    for group in groups.values():
        if len({id(array) for array in group}) == 1:
            new[id(group[0])] = group[0].astype(dtype)
        else:
            new |= views_of_one_copy(group, np.dtype(dtype))
    return new


def views_of_one_copy(views: list[Any], dtype: np.dtype) -> dict[int, Any]:
    """Return copies in `dtype` of arrays that share memory. The copies share memory in the same way.

    Return {} if the memory does not belong to one NumPy array without gaps, of the dtype of the views.
    """
    owner = views[0] if views[0].base is None else views[0].base
    if type(owner) is not np.ndarray or not owner.flags.forc or any(v.dtype != owner.dtype for v in views):
        return {}
    memory = owner.ravel(order="K").astype(dtype)
    factor, start = dtype.itemsize // owner.itemsize, owner.__array_interface__["data"][0]
    return {
        id(v): np.ndarray(
            v.shape,
            dtype,
            memory,
            (v.__array_interface__["data"][0] - start) * factor,
            tuple(stride * factor for stride in v.strides),
        )
        for v in views
    }


def substitute(snapshot: Snapshot, new: dict[int, Any]) -> None:
    """Replace objects in all containers of `snapshot`. `new` maps the ``id`` of an object to its replacement."""

    def exchange(value: Any) -> Any:
        if id(value) in new:
            return new[id(value)]
        if type(value) is tuple:
            changed = tuple(exchange(item) for item in value)
            return changed if any(a is not b for a, b in zip(changed, value, strict=True)) else value
        return value

    for container, before in snapshot.containers:
        if is_array(container):  # an array of objects
            for index, value in np.ndenumerate(before):
                changed = exchange(value)
                if changed is not value:
                    container[index] = changed
        elif isinstance(container, (list, deque)):
            refill(container, [exchange(value) for value in before])
        elif isinstance(container, dict):
            for key, value in before.items():
                changed = exchange(value)
                if changed is not value:
                    container[key] = changed
        elif not isinstance(container, set):
            changed = exchange(before)
            if changed is not before:
                refill(container, changed)
