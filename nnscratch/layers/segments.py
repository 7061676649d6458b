"""Sequences of different lengths in one batch: time is cut into segments.

Short sequences are padded, by default at the end. Time is cut into segments wherever a sequence ends. Each segment runs
only the sequences that have not ended:

    lengths 5, 2, 3     steps 0 1 | 2 | 3 4         sequence 0    x x | x | x x
                        rows  0 1 2 | 0 2 | 0       sequence 1    x x |   |
                                                    sequence 2    x x | x |

A sequence's state does not change after its last step. Padding is never read, so it may contain any values. In the
padding, y and dx are zero. Backward processes the segments in the opposite order. As with PyTorch's packed sequences,
no time is spent on padding.

If the padding comes before the sequences, each sequence is first moved to the front of its row. At the end, y is moved
back.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import check_floats, one_of
from ..module import Module


def segments(lengths: np.ndarray, xp: ModuleType = np) -> list[tuple[slice, Array]]:
    """Cut time wherever a sequence ends. Return each segment's steps and the rows of the sequences that have not ended.

    Examples
    --------
    >>> for steps, rows in segments(np.array([5, 2, 3])):
    ...     print(steps.start, steps.stop, rows)
    0 2 [0 1 2]
    2 3 [0 2]
    3 5 [0]
    """
    ends = np.unique(lengths).tolist()
    starts = [0, *ends[:-1]]
    return [
        (slice(start, end), xp.asarray(np.flatnonzero(lengths >= end))) for start, end in zip(starts, ends, strict=True)
    ]


def flipped(X: Array, lengths: np.ndarray | None) -> Array:
    """Return X, shape (T, N, D), with each sequence reversed in time. The padding does not move."""
    if lengths is None:
        return X[::-1]
    xp, (T, N, _) = backend.array_module(X), X.shape
    t = np.arange(T)[:, None]
    index = np.where(t < lengths, lengths - 1 - t, t)  # (T, N)
    return X[xp.asarray(index), xp.arange(N)]


def rolled(X: Array, lengths: np.ndarray, back: bool = False) -> Array:
    """Move the padding of X, shape (T, N, D), from before each sequence to after it, or back if `back` is True."""
    xp, (T, N, _) = backend.array_module(X), X.shape
    shift = T - lengths  # the number of steps of padding
    index = (np.arange(T)[:, None] + (-shift if back else shift)) % T  # (T, N)
    return X[xp.asarray(index), xp.arange(N)]


def is_left(padding_side: str) -> bool:
    """Return True for "left" and False for "right". Raise for any other value."""
    return one_of("padding_side", padding_side, ("right", "left")) == "left"


def is_padding(lengths: np.ndarray, T: int, left: bool) -> np.ndarray:
    """Return an array of shape (N, T), True where a step is padding.

    Examples
    --------
    >>> print(is_padding(np.array([1, 3]), 3, left=False).astype(int))
    [[0 1 1]
     [0 0 0]]
    """
    t, n = np.arange(T), lengths[:, None]
    return t < T - n if left else t >= n


def with_finite_padding(module: Module, x: Array, lengths: Any, padding_side: str, past: int = 0) -> Array:
    """Return `x`, shape (N, T, D). Replace NaN, infinity and very large values in the padding by 0.

    The weight of padding in attention is 0. But 0 times NaN is NaN, so a NaN in the padding would reach all tokens of
    its sequence, and the gradients. A score is the product of two projected values, so it is infinite if they are very
    large, for example in an array from ``numpy.empty``.

    Parameters
    ----------
    past : int
        The number of earlier steps. They are not in `x`, but `lengths` counts them too.
    """
    if lengths is None:
        return x
    check_floats(module, "x", x)
    if x.ndim != 3:
        return x  # the layer will raise an error for this shape
    xp, steps = backend.array_module(x), past + x.shape[1]
    lengths = check_lengths(module, lengths, len(x), steps)
    padding = xp.asarray(is_padding(lengths, steps, is_left(padding_side))[:, past:])  # (N, T)
    largest = float(np.finfo(x.dtype).max) ** 0.4  # 3e15 in float32
    if backend.cheap_to_read(x) and (abs(x[padding]) <= largest).all():
        return x
    return xp.where(padding[:, :, None] & ~(abs(x) <= largest), x.dtype.type(0), x)  # ~(... <= ...) is True for NaN


def check_lengths(module: Module, lengths: Any, N: int, T: int) -> np.ndarray | None:
    """Return `lengths` as a NumPy array of N integers in 1..T, or None."""
    if lengths is None:
        return None
    title = type(module).__name__
    try:
        lengths = np.asarray(lengths if isinstance(lengths, (list, tuple)) else backend.to_numpy(lengths))
    except TypeError as error:
        raise TypeError(f"{title}: lengths: {error}") from None
    if lengths.shape != (N,) or lengths.dtype.kind not in "iu":
        raise ValueError(
            f"{title}: lengths must be one integer for each of the {N} sequences, "
            f"got shape {lengths.shape} of {lengths.dtype}"
        )
    if lengths.min() < 1 or lengths.max() > T:
        raise ValueError(f"{title}: lengths must be in 1..{T}, got {lengths.min()}..{lengths.max()}")
    return lengths.astype(np.intp)
