"""AvgPool2d: the mean of every window.

    shapes      x (N, C, H, W)    y (N, C, H', W')    H', W' as in windows.py    k = k_h k_w pixels in a window

    forward     y  = sum over the window / k
    backward    dx = dy / k, added at every pixel of the window

Padding counts as zeros, and k is the same for every window, including windows at the edge. This is PyTorch's default.

Reference: LeCun, Bottou, Bengio and Haffner (1998), "Gradient-based learning applied to document recognition",
doi:10.1109/5.726791. Their layer, called sub-sampling, also has learned coefficients.
"""

from __future__ import annotations

import math

from .. import backend
from ..backend import Array
from ..checks import check_floats, check_gradient
from ..module import Module
from .windows import Pair, check_windows_fit, pair, pooling_windows


class AvgPool2d(Module):
    """The mean of every window of an image.

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
    >>> layer = nn.AvgPool2d(2)
    >>> x = np.array([[[[1.0, 2.0, 0.0, 0.0], [4.0, 3.0, 0.0, 10.0]]]])
    >>> print(layer(x))
    [[[[2.5 2.5]]]]
    >>> print(layer.backward(np.ones((1, 1, 1, 2))))
    [[[[0.25 0.25 0.25 0.25]
       [0.25 0.25 0.25 0.25]]]]
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
        (N, C, H, W), padded = x.shape, self.windows.pad(x)
        y = backend.array_module(x).zeros((N, C, *self.windows.count(H, W)), dtype=x.dtype)
        for _, _, row, column in self.windows.slices(H, W):
            y += padded[:, :, row, column]  # (N, C, H', W')
        self.save_for_backward(x.shape, x.dtype)
        return y / math.prod(self.kernel_size)

    def backward(self, dy: Array) -> Array:
        (N, C, H, W), dtype = self.saved()
        check_gradient(self, dy, (N, C, *self.windows.count(H, W)), dtype)
        (p_h, p_w), dy_k = self.padding, dy / math.prod(self.kernel_size)
        dpadded = backend.array_module(dy).zeros((N, C, H + 2 * p_h, W + 2 * p_w), dtype=dtype)
        for _, _, row, column in self.windows.slices(H, W):
            dpadded[:, :, row, column] += dy_k
        return self.windows.unpad(dpadded)
