"""Conv2d: small learned patches, compared with every place of an image.

    shapes      x (N, C, H, W)    W (O, C, k_h, k_w)    b (O,)    y (N, O, H', W')

    forward     y[n, o, u, v] = b[o] + sum over c, i, j   W[o, c, i, j] x[n, c, u s + i d - p, v s + j d - p]

                where s, d, p are stride, dilation and padding, and x outside the image is 0. With the windows as
                columns, X = im2col(x), of shape (K, H' W' N) with K = C k_h k_w, and W as a matrix (O, K), this is
                Linear on every window:

                Y = W X + b                     (O, H' W' N)

    backward    dW = dY X^T                     (O, K)          every window met the same weights: their sum
                db = sum over windows  dY       (O,)
                dX = W^T dY                     (K, H' W' N)    dx = col2im(dX): a pixel gets from each of its windows

It is a cross-correlation in truth: a mathematician's convolution would turn the patch around first. Nobody does, since
the patch is learned.

X is k_h k_w times as large as x, so it is not kept: backward makes it again from x. Large batches are worked off a few
hundred images at a time: the windows of 10,000 images of 32 x 14 x 14 would be 2.3 GB.

y and dx are (N, O, H', W') and (N, C, H, W), but in memory the images come last, (O, H', W', N), as they do in Y: the
product's result needs no rearranging, and wherever a piece is cut out of images, in im2col, col2im and pooling, the
same pixel of all of them is one run of neighbouring numbers. Element by element, NumPy keeps the layout it finds, so
that ReLU and the next convolution find it again.

References: LeCun, Bottou, Bengio and Haffner (1998), "Gradient-based learning applied to document recognition";
Chellapilla, Puri and Simard (2006), "High performance convolutional neural networks for document processing" (im2col).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import check_floats, check_gradient, positive_int
from ..init import drawn, uniform
from ..module import Module
from ..parameter import Parameter
from .windows import Pair, Windows, empty_images, images_last, pair

BLOCK = 1 << 21  # numbers of X made at a time: 8 MiB of float32


class Conv2d(Module):
    """A two-dimensional convolution.

    Parameters
    ----------
    in_channels, out_channels : int
        C and O.
    kernel_size, stride, padding, dilation : int, or (down, across)
        The patch's size; how far it moves at each step; how many zeros are put around the image; how far the patch's
        own pixels lie apart.
    bias : bool
        Whether b is there.
    init : function of (shape, rng), optional
        One of `nnscratch.init`, for the weight. By default weight and bias are uniform within 1/sqrt(C k_h k_w), as in
        PyTorch.
    rng : None, int or numpy.random.Generator

    Attributes
    ----------
    weight : Parameter, shape (out_channels, in_channels, k_h, k_w)
    bias : Parameter, shape (out_channels,), or None

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> layer = nn.Conv2d(1, 1, kernel_size=(1, 2), bias=False)
    >>> layer.weight.data[:] = [[[[-1, 1]]]]               # how much brighter is the pixel to the right?
    >>> x = np.array([[[[0, 0, 5, 5], [0, 5, 5, 0]]]], dtype=np.float32)
    >>> print(layer(x))
    [[[[ 0.  5.  0.]
       [ 5.  0. -5.]]]]
    >>> print(layer.backward(np.ones((1, 1, 2, 3), dtype=np.float32)))
    [[[[-1.  0.  0.  1.]
       [-1.  0.  0.  1.]]]]
    """

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
        self.weight, self.bias = weight_and_bias(shape, bias, init, rng)

    def config(self) -> dict[str, Any]:
        names = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation")
        return {name: getattr(self, name) for name in names} | {"bias": self.bias is not None}

    def forward(self, x: Array) -> Array:
        check_floats(self, "x", x, like=self.weight)
        check_images(self, x, self.in_channels, self.windows)
        y = convolve(x, self.weight.data, None if self.bias is None else self.bias.data, self.windows)
        self.save_for_backward(x)
        return y

    def backward(self, dy: Array) -> Array | None:
        (x,) = self.saved()
        check_gradient(self, dy, (len(x), self.out_channels, *self.windows.count(*x.shape[2:])), x.dtype)
        if self.bias is not None:
            self.bias.grad += dy.sum(axis=(0, 2, 3))
        return convolve_backward(dy, x, self.weight.data, self.windows, self.weight.grad, self.needs_input_grad)


def convolve(x: Array, w: Array, b: Array | None, windows: Windows) -> Array:
    """Y = W X + b: images (N, C, H, W) and patches (O, C, k_h, k_w) to (N, O, H', W')."""
    xp, (N, _, H, W) = backend.array_module(x), x.shape
    O = len(w)  # noqa: E741 (the equations' O)
    h_, w_ = windows.count(H, W)  # H', W'
    y = empty_images(x, N, O, h_, w_)
    w = w.reshape(O, -1)  # (O, K)
    for images in blocks_of_images(x, w.shape[1] * h_ * w_):
        X = windows.im2col(windows.pad(images_last(x[images])), H, W)  # (K, H' W' n)
        Y = (w @ X).reshape(O, h_, w_, -1).transpose(3, 0, 1, 2)
        xp.add(Y, 0 if b is None else b[:, None, None], out=y[images])
    return y


def convolve_backward(dy: Array, x: Array, w: Array, windows: Windows, dw: Array, want_dx: bool = True) -> Array | None:
    """dx, (N, C, H, W), if it is wanted, from dy, (N, O, H', W'); dW is added to `dw`."""
    xp, (_, _, H, W) = backend.array_module(x), x.shape
    O = len(w)  # noqa: E741
    dx = empty_images(x, *x.shape) if want_dx else None
    dw, w = dw.reshape(O, -1), w.reshape(O, -1)  # (O, K), views
    for images in blocks_of_images(x, w.shape[1] * dy.shape[2] * dy.shape[3]):
        padded = windows.pad(images_last(x[images]))
        X = windows.im2col(padded, H, W)  # (K, H' W' n)
        dY = dy[images].transpose(1, 2, 3, 0).reshape(O, -1)  # (O, H' W' n)
        dw += (X @ dY.T).T  # dY X^T, in the order that BLAS does in half the time
        if not want_dx:
            continue
        dX = xp.matmul(w.T, dY, out=X)  # X has been used: its memory serves for the gradient
        dpadded = xp.zeros_like(padded)
        windows.col2im(dX, dpadded, H, W)
        dx[images] = windows.unpad(dpadded)
    return dx


def blocks_of_images(x: Array, numbers: int) -> Iterator[slice]:
    """So many images at a time that im2col, with `numbers` for each, makes BLOCK numbers; on a GPU more."""
    size = max(1, backend.chunk_size(x, BLOCK) // numbers)
    return (slice(start, start + size) for start in range(0, len(x), size))


def weight_and_bias(
    shape: tuple[int, ...],
    bias: bool,
    init: Callable[..., np.ndarray] | None,
    rng: None | int | np.random.Generator,
) -> tuple[Parameter, Parameter | None]:
    """The parameters a convolution with weights of this shape, (O, C, k ...), starts from."""
    rng = backend.generator(rng)
    bound = 1 / math.sqrt(math.prod(shape[1:]))
    weight = Parameter(uniform(shape, bound, rng) if init is None else drawn(init, shape, rng))
    return weight, Parameter(uniform(shape[:1], bound, rng)) if bias else None


def check_images(owner: Module, x: Array, channels: int | None, windows: Windows) -> None:
    """Raise unless `x` is (N, C, H, W) with so many channels, and no image is smaller than a window."""
    title = type(owner).__name__
    if x.ndim != 4 or (channels is not None and x.shape[1] != channels):
        hint = " One channel? x[:, None] gives images an axis for it." if x.ndim == 3 and channels == 1 else ""
        raise ValueError(f"{title} needs images x of shape (N, {channels or 'C'}, H, W), got {x.shape}.{hint}")
    if min(windows.count(*x.shape[2:])) < 1:
        raise ValueError(
            f"{title}: no window of {windows.kernel}, dilation {windows.dilation}, fits into images of "
            f"{x.shape[2:]} with padding {windows.padding}"
        )
