"""MaxPool2d: of every window, the largest number.

    shapes      x (N, C, H, W)    y (N, C, H', W')    H', W' as in windows.py

    forward     y = max over the window
    backward    dx at the place of the maximum += dy, elsewhere nothing

Only the winner moved y, so only the winner gets the gradient; of two equal ones, the first. Padding counts as minus
infinity: it never wins.

Reference: Riesenhuber and Poggio (1999), "Hierarchical models of object recognition in cortex".
"""

from __future__ import annotations

import math

import numpy as np

from .. import backend
from ..backend import Array
from ..module import Module, check_floats, check_gradient
from .conv2d import check_images
from .windows import Pair, Windows, pair


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
        xp, (N, C, H, W) = backend.array_module(x), x.shape
        padded = self.windows.pad(x, -math.inf)
        y = xp.full((N, C, *self.windows.count(H, W)), -math.inf, dtype=x.dtype)
        winner = xp.zeros(y.shape, dtype=np.int16)  # which pixel of the window, counted row by row
        for k, (_, _, down, across) in enumerate(self.windows.slices(H, W)):
            pixel = padded[:, :, down, across]  # pixel k of every window: (N, C, H', W')
            winner[pixel > y] = k
            xp.maximum(y, pixel, out=y)  # unlike `pixel > y`, this hands a NaN on
        self.save_for_backward(winner, x.shape, x.dtype)
        return y

    def backward(self, dy: Array) -> Array:
        winner, (N, C, H, W), dtype = self.saved()
        check_gradient(self, dy, winner.shape, dtype)
        (p, q), xp = self.padding, backend.array_module(dy)
        dx = xp.zeros((N, C, H + 2 * p, W + 2 * q), dtype=dtype)
        for k, (_, _, down, across) in enumerate(self.windows.slices(H, W)):
            dx[:, :, down, across] += dy * (winner == k)
        return self.windows.unpad(dx)


def pooling_windows(kernel: Pair, stride: Pair, padding: Pair) -> Windows:
    """The windows, or an error where some would hold nothing but padding."""
    if any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
        raise ValueError(f"padding must be at most half the kernel_size {kernel}, got {padding}")
    return Windows(kernel, stride, padding)
