"""Reading single numbers from a GPU, which means to wait for it: later, and several at once."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator, Sequence

import numpy as np

from .device import Array, array_module

ON_CPU = (np.generic, float, int, np.ndarray)

_LATER = contextvars.ContextVar("reading later", default=False)


@contextlib.contextmanager
def deferred_reads() -> Iterator[None]:
    """Inside, `to_scalar` leaves on a GPU what is there: for whoever reads several numbers, to wait only once.

    Examples
    --------
    >>> import numpy as np
    >>> with deferred_reads():
    ...     losses = [to_scalar(np.float32(2.5)), to_scalar(np.float32(0.5))]     # on a GPU: asked for, not read
    >>> to_floats(losses)
    [2.5, 0.5]
    """
    token = _LATER.set(True)
    try:
        yield
    finally:
        _LATER.reset(token)


def to_scalar(x: Array) -> float | Array:
    """What an array without axes, or a number of NumPy's, holds, as a number of Python's: what a loss returns.

    Reading one from a GPU means to wait until it is computed. Inside `deferred_reads` it stays there, an array.
    """
    return float(x) if isinstance(x, ON_CPU) or not _LATER.get() else x


def to_floats(numbers: Sequence[float | Array]) -> list[float]:
    """Numbers, each one of Python's or NumPy's or an array without axes, as Python's: those on a GPU in one copy."""
    found = [float(x) if isinstance(x, ON_CPU) else x for x in numbers]
    there = [x for x in found if type(x) is not float]
    if not there:
        return found
    read = iter(array_module(there[0]).stack(there).get().tolist())
    return [x if type(x) is float else next(read) for x in found]
