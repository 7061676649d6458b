"""Replace the arrays in the user's objects by copies in another dtype, or by views that record operations (tape/)."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

from .nested import is_array
from .snapshot import Snapshot, refill


def cast_arrays(snapshot: Snapshot, dtype: Any) -> dict[int, Any]:
    """Replace every float array in `snapshot` that is less precise than `dtype` by a copy in `dtype`.

    The old arrays do not change, and ``snapshot.restore()`` puts them back. Arrays that share memory, such as a flat
    array and its views, are not replaced, because their copies would not share memory.

    Returns
    -------
    dict of int to array
        The new arrays. The key of a new array is the ``id`` of the old array.
    """
    small = [a for a in snapshot.arrays() if a.dtype.kind == "f" and a.dtype.itemsize < np.dtype(dtype).itemsize]
    owners: dict[int, int] = {}
    for array in small:
        owner = id(array) if array.base is None else id(array.base)
        owners[owner] = owners.get(owner, 0) + 1
    new = {
        id(array): array.astype(dtype)
        for array in small
        if owners[id(array) if array.base is None else id(array.base)] == 1
    }

    substitute(snapshot, new)
    return new


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
