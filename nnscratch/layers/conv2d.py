"""Conv2d: multiply every window of an image by small learned kernels, and sum.

    shapes      x (N, C, H, W)    w (O, C, k_h, k_w)    b (O,)    y (N, O, H', W')

    forward     y[n, o, u, v] = b[o] + sum over c, i, j   w[o, c, i, j] x[n, c, u s + i d - p, v s + j d - p]

                with stride s, dilation d and padding p; x is 0 outside the image. Let X = im2col(x), of shape
                (K, H' W' N) with K = C k_h k_w. Each column of X has the pixels of one window. Let w be a matrix
                (O, K). The sum is then one matrix product:

                Y = w X + b                     (O, H' W' N)

    backward    dw = dY X^T                     (O, K)          all windows share w, so their gradients are added
                db = sum over columns  dY       (O,)
                dX = w^T dY                     (K, H' W' N)
                dx = col2im(dX)                                 each pixel adds the gradients of all its windows

    per example dw_n = dY_n X_n^T               (O, K)          over the H' W' columns of image n
                db_n = sum over these columns  dY_n

Strictly, this is a cross-correlation: a convolution in the mathematical sense would flip the kernel first. Since the
kernel is learned, the difference does not matter.

The code deviates from the equations in two ways, which image_layout.py explains. It computes Y and dX for a chunk of
images at a time, since X is k_h k_w times as large as x. And it stores images with the batch axis last in memory,
which is the order of Y. Backward computes X again from x, which takes less memory than keeping X.

References: LeCun, Bottou, Bengio and Haffner (1998), "Gradient-based learning applied to document recognition",
doi:10.1109/5.726791; Chellapilla, Puri and Simard (2006), "High performance convolutional neural networks for document
processing" (im2col), https://inria.hal.science/inria-00112631.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import check_floats, check_gradient, flag, positive_int
from ..init import drawn, uniform
from ..modes import input_grad_optional
from ..module import Module
from ..parameter import Parameter
from ..per_example import Each, Outer
from .fast_products import channel_sums
from .image_layout import batch_last, chunks_of_images, empty_images
from .windows import Pair, Windows, check_windows_fit, pair


class Conv2d(Module):
    """A two-dimensional convolution.

    Parameters
    ----------
    in_channels, out_channels : int
        C and O.
    kernel_size, stride, padding, dilation : int, or (vertical, horizontal)
        The size of a kernel; the step between windows; the number of zeros at each edge of the image; the distance
        between the pixels of a window.
    bias : bool
        True to add b.
    init : function of (shape, rng), optional
        The initialiser of w, from `nnscratch.init`. By default w and b are uniform in [-a, a) with a = 1/sqrt(C k_h
        k_w), as in PyTorch.
    rng : None, int or numpy.random.Generator

    Attributes
    ----------
    weight : Parameter, shape (out_channels, in_channels, k_h, k_w)
    bias : Parameter, shape (out_channels,), or None

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> layer = nn.Conv2d(1, 1, kernel_size=(1, 2), bias=False)
    >>> layer.weight.data[:] = [[[[-1, 1]]]]               # each pixel minus its left neighbour
    >>> x = np.array([[[[0, 0, 5, 5], [0, 5, 5, 0]]]], dtype=np.float32)
    >>> print(layer(x))
    [[[[ 0.  5.  0.]
       [ 5.  0. -5.]]]]
    >>> print(layer.backward(np.ones((1, 1, 2, 3), dtype=np.float32)))
    [[[[-1.  0.  0.  1.]
       [-1.  0.  0.  1.]]]]
    """

    keeps_examples = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        stride: int | Pair = 1,
        padding: int | Pair = 0,
        dilation: int | Pair = 1,
        bias: bool = True,
        *,
        init: Callable[..., np.ndarray] | None = None,
        rng: None | int | np.random.Generator = None,
    ):
        self.in_channels = positive_int("in_channels", in_channels)
        self.out_channels = positive_int("out_channels", out_channels)
        self.kernel_size, self.stride = pair("kernel_size", kernel_size), pair("stride", stride)
        self.padding, self.dilation = pair("padding", padding, least=0), pair("dilation", dilation)
        self.windows = Windows(self.kernel_size, self.stride, self.padding, self.dilation)
        shape = (self.out_channels, self.in_channels, *self.kernel_size)
        self.weight, self.bias = initial_weight_and_bias(shape, bias, init, rng)

    def config(self) -> dict[str, Any]:
        names = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation")
        return {name: getattr(self, name) for name in names} | {"bias": self.bias is not None}

    def forward(self, x: Array) -> Array:
        check_floats(self, "x", x, like=self.weight)
        check_windows_fit(self, x, self.in_channels, self.windows)
        y = convolve(x, self.weight.data, None if self.bias is None else self.bias.data, self.windows)
        self.save_for_backward(x)
        return y

    @input_grad_optional
    def backward(self, dy: Array) -> Array | None:
        (x,) = self.saved()
        check_gradient(self, dy, (len(x), self.out_channels, *self.windows.count(*x.shape[2:])), x.dtype)
        if self.bias is not None:
            self.bias.grad += channel_sums(dy)
        if self.weight.examples is not None:
            keep_examples(self.weight, self.bias, dy, x, self.windows)
        return convolve_backward(dy, x, self.weight.data, self.windows, self.weight.grad, self.needs_input_grad)


def convolve(x: Array, w: Array, b: Array | None, windows: Windows) -> Array:
    """Return y, (N, O, H', W'), from images x, (N, C, H, W), and weights w, (O, C, k_h, k_w): Y = w X + b."""
    xp, (N, _, H, W) = backend.array_module(x), x.shape
    H_out, W_out = windows.count(H, W)  # H', W'
    O = len(w)  # noqa: E741 (the letter in the equations)
    w = w.reshape(O, -1)  # (O, K)
    y = empty_images(x, N, O, H_out, W_out)
    for images in chunks_of_images(x, w.shape[1] * H_out * W_out):
        padded = windows.pad(batch_last(x[images]))  # (B, C, H + 2p, W + 2p), B images
        X = windows.im2col(padded, H, W)  # (K, H' W' B)
        Y = (w @ X).reshape(O, H_out, W_out, -1).transpose(3, 0, 1, 2)  # (B, O, H', W')
        xp.add(Y, 0 if b is None else b[:, None, None], out=y[images])
    return y


def convolve_backward(
    dy: Array, x: Array, w: Array, windows: Windows, dw: Array, needs_dx: bool = True
) -> Array | None:
    """Add dL/dw to `dw`. Return dx, (N, C, H, W), or None if `needs_dx` is False. dy is (N, O, H', W')."""
    xp, (_, _, H, W) = backend.array_module(x), x.shape
    O = len(w)  # noqa: E741
    w, dw = w.reshape(O, -1), dw.reshape(O, -1)  # (O, K), views
    dx = empty_images(x, *x.shape) if needs_dx else None
    for images in chunks_of_images(x, w.shape[1] * dy.shape[2] * dy.shape[3]):
        padded = windows.pad(batch_last(x[images]))  # (B, C, H + 2p, W + 2p)
        X = windows.im2col(padded, H, W)  # (K, H' W' B)
        dY = dy[images].transpose(1, 2, 3, 0).reshape(O, -1)  # (O, H' W' B)
        dw += (X @ dY.T).T  # dY X^T: OpenBLAS computes its transpose in half the time
        if needs_dx:
            dX = xp.matmul(w.T, dY, out=X)  # (K, H' W' B); overwrite X, which is not needed again
            dpadded = xp.zeros_like(padded)
            windows.col2im(dX, dpadded, H, W)
            dx[images] = windows.unpad(dpadded)
    return dx


def keep_examples(weight: Parameter, bias: Parameter | None, dy: Array, x: Array, windows: Windows) -> None:
    """Keep the gradients of each image: dw_n = dY_n X_n^T, with one row of X_n^T for each window of image n."""
    N, O, H_out, W_out = dy.shape  # noqa: E741
    X = windows.im2col(windows.pad(x), *x.shape[2:])  # (K, H' W' N)
    X = X.reshape(len(X), H_out * W_out, N).transpose(2, 1, 0).copy()  # (N, H' W', K)
    dY = dy.reshape(N, O, H_out * W_out).transpose(0, 2, 1)  # (N, H' W', O)
    weight.keep(Outer(dY, X))
    if bias is not None:
        bias.keep(Each(dY.sum(axis=1)))


def initial_weight_and_bias(
    shape: tuple[int, ...],
    bias: bool,
    init: Callable[..., np.ndarray] | None,
    rng: None | int | np.random.Generator,
) -> tuple[Parameter, Parameter | None]:
    """Return w, of the given shape (O, C, k, ...), and b, of shape (O,), or None if there is no bias."""
    rng = backend.generator(rng)
    bound = 1 / math.sqrt(math.prod(shape[1:]))
    weight = Parameter(uniform(shape, bound, rng) if init is None else drawn(init, shape, rng))
    return weight, Parameter(uniform(shape[:1], bound, rng)) if flag("bias", bias) else None
