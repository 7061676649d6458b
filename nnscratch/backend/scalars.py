"""Reading scalars from a GPU. Each read waits for the GPU, so several scalars are read together.

``float(x)`` of a CuPy array blocks until the GPU has computed `x`. If a training step reads the loss and the norm of
the gradient separately, it waits twice. Inside :func:`deferred_reads`, :func:`to_scalar` returns the array itself,
without reading its value. :func:`to_floats` then reads several such arrays in one copy.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator, Sequence

import numpy as np

from .device import Array, array_module

ON_CPU = (np.generic, float, int, np.ndarray)

_DEFERRED = contextvars.ContextVar("deferred reads", default=False)


@contextlib.contextmanager
def deferred_reads() -> Iterator[None]:
    """Make `to_scalar` return GPU arrays without reading them, inside a ``with`` block.

    Examples
    --------
    >>> import numpy as np
    >>> with deferred_reads():
    ...     losses = [to_scalar(np.float32(2.5)), to_scalar(np.float32(0.5))]     # not read yet on a GPU
    >>> to_floats(losses)
    [2.5, 0.5]
    """
    token = _DEFERRED.set(True)
    try:
        yield
    finally:
        _DEFERRED.reset(token)


def to_scalar(x: Array) -> float | Array:
    """Return the value of an array without axes as a Python float. Losses return their value with this function.

    For a GPU array this blocks until the value is computed, except inside `deferred_reads`, where `x` is returned.
    """
    return float(x) if isinstance(x, ON_CPU) or not _DEFERRED.get() else x


def to_floats(scalars: Sequence[float | Array]) -> list[float]:
    """Return scalars as Python floats. All values on a GPU are read in one copy.

    Parameters
    ----------
    scalars : sequence of float, NumPy scalars or arrays without axes
    """
    values = [float(x) if isinstance(x, ON_CPU) else x for x in scalars]
    on_gpu = [x for x in values if type(x) is not float]
    if not on_gpu:
        return values
    read = iter(array_module(on_gpu[0]).stack(on_gpu).get().tolist())
    return [x if type(x) is float else next(read) for x in values]
