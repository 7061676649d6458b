"""Conv1d: multiply every window of a sequence by small learned kernels, and sum.

    shapes      x (N, C, L)    w (O, C, k)    b (O,)    y (N, O, L')    L' = floor((L + 2p - d (k - 1) - 1) / s) + 1

    forward     y[n, o, t] = b[o] + sum over c, i   w[o, c, i] x[n, c, t s + i d - p]
    backward    as in Conv2d
    per example as in Conv2d

with stride s, dilation d and padding p. A sequence is an image of height 1, so this layer calls the functions of
Conv2d, which conv2d.py explains. Here channels come before time, as in PyTorch. In recurrent layers, time comes before
features.

Reference: Waibel, Hanazawa, Hinton, Shikano and Lang (1989), "Phoneme recognition using time-delay neural networks",
doi:10.1109/29.21701.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..backend import Array
from ..checks import check_floats, check_gradient, positive_int
from ..modes import input_grad_optional
from ..module import Module
from .conv2d import convolve, convolve_backward, initial_weight_and_bias, keep_examples
from .fast_products import channel_sums
from .windows import Windows, pair


class Conv1d(Module):
    """A one-dimensional convolution.

    Parameters
    ----------
    in_channels, out_channels : int
        C and O.
    kernel_size, stride, padding, dilation : int
        The length of a kernel; the step between windows; the number of zeros at each end; the distance between the
        elements of a window.
    bias : bool
        True to add b.
    init : function of (shape, rng), optional
        The initialiser of w, from `nnscratch.init`. By default w and b are uniform in [-a, a) with a = 1/sqrt(C k), as
        in PyTorch.
    rng : None, int or numpy.random.Generator

    Attributes
    ----------
    weight : Parameter, shape (out_channels, in_channels, kernel_size)
    bias : Parameter, shape (out_channels,), or None

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> layer = nn.Conv1d(1, 1, kernel_size=3, padding=1, bias=False)
    >>> layer.weight.data[:] = 1 / 3                        # the mean of three neighbours
    >>> print(layer(np.array([[[0, 0, 3, 0, 0, 6]]], dtype=np.float32)))
    [[[0. 1. 1. 1. 2. 2.]]]
    """

    keeps_examples = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        bias: bool = True,
        *,
        init: Callable[..., np.ndarray] | None = None,
        rng: None | int | np.random.Generator = None,
    ):
        self.in_channels = positive_int("in_channels", in_channels)
        self.out_channels = positive_int("out_channels", out_channels)
        self.kernel_size, self.stride = positive_int("kernel_size", kernel_size), positive_int("stride", stride)
        self.padding, self.dilation = pair("padding", padding, least=0)[1], positive_int("dilation", dilation)
        self.windows = Windows((1, self.kernel_size), (1, self.stride), (0, self.padding), (1, self.dilation))
        shape = (self.out_channels, self.in_channels, self.kernel_size)
        self.weight, self.bias = initial_weight_and_bias(shape, bias, init, rng)

    def config(self) -> dict[str, Any]:
        names = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation")
        return {name: getattr(self, name) for name in names} | {"bias": self.bias is not None}

    def forward(self, x: Array) -> Array:
        check_floats(self, "x", x, like=self.weight)
        if x.ndim != 3 or x.shape[1] != self.in_channels:
            raise ValueError(f"Conv1d needs x of shape (N, {self.in_channels}, L), channels before time; got {x.shape}")
        if self.windows.count(1, x.shape[2])[1] < 1:
            raise ValueError(
                f"Conv1d: no window of {self.kernel_size}, dilation {self.dilation}, fits into a length of "
                f"{x.shape[2]} with padding {self.padding}"
            )
        b = None if self.bias is None else self.bias.data
        y = convolve(x[:, :, None], self.weight.data[:, :, None], b, self.windows)[:, :, 0]  # (N, O, L')
        self.save_for_backward(x)
        return y

    @input_grad_optional
    def backward(self, dy: Array) -> Array | None:
        (x,) = self.saved()
        check_gradient(self, dy, (len(x), self.out_channels, self.windows.count(1, x.shape[2])[1]), x.dtype)
        if self.bias is not None:
            self.bias.grad += channel_sums(dy)
        if self.weight.examples is not None:
            keep_examples(self.weight, self.bias, dy[:, :, None], x[:, :, None], self.windows)
        w, dw = self.weight.data[:, :, None], self.weight.grad[:, :, None]  # (O, C, 1, k), views
        dx = convolve_backward(dy[:, :, None], x[:, :, None], w, self.windows, dw, self.needs_input_grad)
        return None if dx is None else dx[:, :, 0]
