"""MaxPool2d: the largest element of every window.

    shapes      x (N, C, H, W)    y (N, C, H', W')    H', W' as in windows.py

    forward     y  = max over the window
    backward    dx = dy, added at the position of the maximum; 0 elsewhere

y depends on the maximum only, so the maximum receives the whole gradient. If several elements are equal, the first one
in row-major order receives it. Padding counts as minus infinity, so it is never the maximum.

The code takes the maximum in two steps, first over the columns of the window and then over its rows:

    forward     r = max over j  x[..., v s + j]         (N, C, H + 2p, W')
                y = max over i  r[..., u s + i, :]      (N, C, H', W')
    backward    dr from dy: each element goes to the first row i where r = y
                dx from dr: each element goes to the first column j where x = r

This takes k_h + k_w comparisons of whole arrays instead of k_h k_w.

Reference: Riesenhuber and Poggio (1999), "Hierarchical models of object recognition in cortex", doi:10.1038/14819.
"""

from __future__ import annotations

import math

from .. import backend
from ..backend import Array
from ..checks import check_floats, check_gradient
from ..module import Module
from .windows import Pair, check_windows_fit, pair, pooling_windows

Index = tuple  # an index into an array of images: slices and an ellipsis


class MaxPool2d(Module):
    """The maximum of every window of an image.

    Parameters
    ----------
    kernel_size : int, or (vertical, horizontal)
    stride : int, or (vertical, horizontal), optional
        The step between windows. The default is `kernel_size`, so that windows do not overlap.
    padding : int, or (vertical, horizontal)
        At most half of `kernel_size`.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> layer = nn.MaxPool2d(2)
    >>> x = np.array([[[[1.0, 2.0, 0.0, 0.0], [4.0, 3.0, 0.0, 9.0]]]])
    >>> print(layer(x))
    [[[[4. 9.]]]]
    >>> print(layer.backward(np.ones((1, 1, 1, 2))))
    [[[[0. 0. 0. 0.]
       [1. 0. 0. 1.]]]]
    """

    arguments = ("kernel_size", "stride", "padding")

    def __init__(self, kernel_size: int | Pair, stride: int | Pair | None = None, padding: int | Pair = 0):
        self.kernel_size = pair("kernel_size", kernel_size)
        self.stride = self.kernel_size if stride is None else pair("stride", stride)
        self.padding = pair("padding", padding, least=0)
        self.windows = pooling_windows(self.kernel_size, self.stride, self.padding)

    def forward(self, x: Array) -> Array:
        check_floats(self, "x", x)
        check_windows_fit(self, x, None, self.windows)
        rows, columns = self._row_and_column_indices(*x.shape[2:])
        padded = self.windows.pad(x, -math.inf)  # (N, C, H + 2p, W + 2p)
        r = max_over(padded, columns)  # (N, C, H + 2p, W')
        y = max_over(r, rows)  # (N, C, H', W')
        self.save_for_backward(padded, r, y, x.shape[2:])
        return y

    def backward(self, dy: Array) -> Array:
        padded, r, y, size = self.saved()
        check_gradient(self, dy, y.shape, y.dtype)
        rows, columns = self._row_and_column_indices(*size)
        rows_disjoint, columns_disjoint = (s >= k for s, k in zip(self.stride, self.kernel_size, strict=True))
        dr = max_over_backward(dy, y, r, rows, rows_disjoint)  # (N, C, H + 2p, W')
        dpadded = max_over_backward(dr, r, padded, columns, columns_disjoint)  # (N, C, H + 2p, W + 2p)
        return self.windows.unpad(dpadded)

    def _row_and_column_indices(self, H: int, W: int) -> tuple[list[Index], list[Index]]:
        """Return the index that selects row i of all windows for each i, and the same for each column j."""
        rows, columns = self.windows.row_and_column_slices(H, W)
        return [(..., row, slice(None)) for row in rows], [(..., column) for column in columns]


def max_over(x: Array, indices: list[Index]) -> Array:
    """Return y, the elementwise maximum of ``x[index]`` over all `indices`. NaN propagates."""
    xp, (first, *others) = backend.array_module(x), [x[index] for index in indices]
    y = xp.maximum(first, others[0] if others else first)  # a new array, with the memory layout of x
    for other in others[1:]:
        xp.maximum(y, other, out=y)
    return y


def max_over_backward(dy: Array, y: Array, x: Array, indices: list[Index], disjoint: bool) -> Array:
    """Return dx for ``y = max_over(x, indices)``: each element of dy goes to the first index where x equals y.

    `disjoint` is True if no two indices select the same element. Then an assignment is enough, which is faster than an
    addition.
    """
    xp = backend.array_module(x)
    dx, remaining = xp.zeros_like(x), xp.ones_like(y, dtype=bool)  # remaining: the elements of dy not yet assigned
    for k, index in enumerate(indices, start=1):
        # The last index gets all elements of dy that are not assigned yet. They include elements where y is NaN.
        here = remaining if k == len(indices) else (x[index] == y) & remaining
        if disjoint:
            xp.multiply(dy, here, out=dx[index])
        else:
            dx[index] += dy * here
        remaining = remaining ^ here
    return dx
