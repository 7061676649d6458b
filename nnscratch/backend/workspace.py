"""Reuse the memory of arrays, because the first use of new memory is slow."""

from __future__ import annotations

import functools
import os
import sys
from typing import Any

from .device import Array, array_module, device_of


class Workspace:
    """A pool of arrays. Forward takes buffers from it, backward gives them back, and the next forward reuses them.

    New memory is slow: at the first access, the operating system has to find and clear each page. The pool does not
    clear its arrays. The pool keeps arrays for the `KEPT` most recently used sets of shapes, so its memory does not
    grow.

    Examples
    --------
    >>> import numpy as np
    >>> workspace, x = Workspace(), np.ones(1, dtype=np.float32)
    >>> a, b = workspace.take(x, (2, 3), (4,))
    >>> workspace.give(a, b)
    >>> c, d = workspace.take(x, (2, 3), (4,))
    >>> c is a, d is b
    (True, True)
    """

    KEPT = 4

    def __init__(self) -> None:
        self._free: dict[Any, list[tuple[Array, ...]]] = {}

    def take(self, like: Array, *shapes: tuple[int, ...]) -> tuple[Array, ...]:
        """Return one uninitialised array for each shape, with the dtype and device of `like`."""
        key = (shapes, like.dtype, device_of(like))
        free = self._free[key] = self._free.pop(key, [])  # at the end, so the first key is the least recently used
        if len(self._free) > self.KEPT:
            del self._free[next(iter(self._free))]
        if free:
            return free.pop()
        xp = array_module(like)
        return tuple(xp.empty(shape, dtype=like.dtype) for shape in shapes)

    def give(self, *arrays: Array) -> None:
        """Give back all arrays that one call of `take` returned, in the same order. Do not use them afterwards."""
        key = (tuple(a.shape for a in arrays), arrays[0].dtype, device_of(arrays[0]))
        if key in self._free:
            self._free[key].append(arrays)


M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # parameters of mallopt, from the C library's malloc.h


@functools.cache
def keep_freed_memory() -> bool:
    """Tell the GNU C library to keep the memory of deleted arrays for new arrays.

    Every training step creates arrays of the same sizes. By default, the C library returns the memory of large arrays
    to the operating system and requests it again, page by page. This took nearly half of the time of a small
    convolutional network's step. The setting applies to the whole process, which then keeps the largest amount of
    memory that it has used. This function has no effect with another C library, or if ``MALLOC_TRIM_THRESHOLD_`` or
    ``MALLOC_MMAP_THRESHOLD_`` is set in the environment.

    Returns
    -------
    bool
        True if the setting was changed.
    """
    if sys.platform != "linux" or any(f"MALLOC_{what}_THRESHOLD_" in os.environ for what in ("TRIM", "MMAP")):
        return False
    import ctypes  # imported here because not every Python has it

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None or not mallopt(M_MMAP_THRESHOLD, 1 << 25):  # arrays above 32 MiB are still returned
        return False
    return bool(mallopt(M_TRIM_THRESHOLD, 1 << 30))  # if more than 1 GiB is free, memory is still returned
