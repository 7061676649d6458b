"""Memory that is used again: new memory is slow memory."""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from typing import Any

from .device import Array, array_module, device_of


class Workspace:
    """Arrays that are used again: what one forward put away and its backward gave back serves the next forward.

    New memory is slow memory: at first touch the system has to find and clear each page. Arrays are handed out
    uncleared. Of the sets of shapes asked for, the latest few are kept, so the memory held does not grow.

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
        """An array of each shape, with the dtype and on the device of `like`; what is in them is arbitrary."""
        key = (shapes, like.dtype, device_of(like))
        free = self._free[key] = self._free.pop(key, [])  # now the latest
        if len(self._free) > self.KEPT:
            del self._free[next(iter(self._free))]
        if free:
            return free.pop()
        xp = array_module(like)
        return tuple(xp.empty(shape, dtype=like.dtype) for shape in shapes)

    def give(self, *arrays: Array) -> None:
        """Take back what `take` handed out, all of it, in the same order; nobody may use it any more."""
        key = (tuple(a.shape for a in arrays), arrays[0].dtype, device_of(arrays[0]))
        if key in self._free:
            self._free[key].append(arrays)


M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # the C library's names, in its malloc.h


@functools.cache
def keep_freed_memory() -> bool:
    """Ask the C library to keep the memory of arrays that are gone, for the next: what a training loop wants.

    Every step makes arrays of the same sizes. By itself the GNU C library hands large ones back to the system, and
    gets them anew, page by page, each to be found and cleared at the first touch: measured, nearly half of the time of
    a small convolutional network's step. The setting is the whole process's: it may then hold as much as it once used
    at the most, which is what a loop will use again. Where the environment already says what to do
    (``MALLOC_TRIM_THRESHOLD_``, ``MALLOC_MMAP_THRESHOLD_``), or the C library is another, nothing is changed.

    Returns
    -------
    bool
        Whether it was asked.
    """
    if sys.platform != "linux" or any(f"MALLOC_{what}_THRESHOLD_" in os.environ for what in ("TRIM", "MMAP")):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None or not mallopt(M_MMAP_THRESHOLD, 1 << 25):  # larger arrays, above 32 MiB, still go back
        return False
    return bool(mallopt(M_TRIM_THRESHOLD, 1 << 30))  # how much may lie free before some of it goes back
