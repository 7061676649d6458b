"""MaxPool2d: of every window, the largest number.

    shapes      x (N, C, H, W)    y (N, C, H', W')    H', W' as in windows.py

    forward     y = max over the window
    backward    dx at the place of the maximum += dy, elsewhere nothing

Only the winner moved y, so only the winner gets the gradient; of two equal ones, the first. Padding counts as minus
infinity: it never wins.

The largest number of a window is the largest of its rows' largest, r. That takes k_h + k_w comparisons of whole
arrays where pixel by pixel would take k_h k_w, and windows side by side share their rows:

    forward     r = max over j  x[.., v s + j]      (N, C, H + 2p, W')      y = max over i  r[.., u s + i, :]
    backward    dr from dy: to the first row where r = y;   dx from dr: to the first pixel of the row where x = r

The first row that holds the maximum, and the first pixel in it: reading row by row, that is the first in the window.

Reference: Riesenhuber and Poggio (1999), "Hierarchical models of object recognition in cortex".
"""

from __future__ import annotations

import math

from .. import backend
from ..backend import Array
from ..checks import check_floats, check_gradient
from ..module import Module
from .conv2d import check_images
from .windows import Pair, Windows, pair

Place = tuple  # of slices: an index into an array of images


class MaxPool2d(Module):
    """The maximum of every window of an image.

    Parameters
    ----------
    kernel_size : int, or (down, across)
    stride : int, or (down, across), optional
        How far the window moves; by default its own size, so that windows do not overlap.
    padding : int, or (down, across)
        At most half the kernel.

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
        check_images(self, x, None, self.windows)
        rows, columns = self._places(*x.shape[2:])
        padded = self.windows.pad(x, -math.inf)
        r = largest(padded, columns)
        y = largest(r, rows)
        self.save_for_backward(padded, r, y, x.shape[2:])
        return y

    def backward(self, dy: Array) -> Array:
        padded, r, y, size = self.saved()
        check_gradient(self, dy, y.shape, y.dtype)
        rows, columns = self._places(*size)
        down_apart, across_apart = (s >= k for s, k in zip(self.stride, self.kernel_size, strict=True))
        dr = to_the_first(dy, y, r, rows, down_apart)
        return self.windows.unpad(to_the_first(dr, r, padded, columns, across_apart))

    def _places(self, H: int, W: int) -> tuple[list[Place], list[Place]]:
        """What to index images with, to get the i-th row of all windows, and the j-th column."""
        rows, columns = self.windows.along(H, W)
        return [(..., down, slice(None)) for down in rows], [(..., across) for across in columns]


def largest(x: Array, places: list[Place]) -> Array:
    """y: the largest of x[place] over all places, element by element; NaN where one is NaN."""
    xp, (first, *others) = backend.array_module(x), [x[place] for place in places]
    y = xp.maximum(first, others[0] if others else first)  # a new array, laid out in memory as x is
    for other in others[1:]:
        xp.maximum(y, other, out=y)
    return y


def to_the_first(dy: Array, y: Array, x: Array, places: list[Place], apart: bool) -> Array:
    """dx, where ``y = largest(x, places)``: dy, at the first place where x equals y. `apart`: no two places overlap."""
    xp = backend.array_module(x)
    dx, left = xp.zeros_like(x), xp.ones_like(y, dtype=bool)  # left: whose dy has not been given yet
    for k, place in enumerate(places, start=1):
        first = left if k == len(places) else (x[place] == y) & left  # what is left at the last place is the last's
        if apart:
            xp.multiply(dy, first, out=dx[place])
        else:
            dx[place] += dy * first
        left = left ^ first
    return dx


def pooling_windows(kernel: Pair, stride: Pair, padding: Pair) -> Windows:
    """The windows, or an error where some would hold nothing but padding."""
    if any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
        raise ValueError(f"padding must be at most half the kernel_size {kernel}, got {padding}")
    return Windows(kernel, stride, padding)
