"""Upsample: repeat every element of a sequence, or every pixel of an image.

    shapes      sequences  x (N, C, L)       y (N, C, s L)          s = scale_factor
                images     x (N, C, H, W)    y (N, C, s H, s W)

    forward     y[..., i]     = x[..., i // s]                      y[..., i, j]  = x[..., i // s, j // s]
    backward    dx[..., k]    = sum of dy over the s copies         dx[..., k, l] = sum of dy over the s x s copies

Each element of x becomes s neighbouring elements of y, or a square of s x s pixels. An element that is used several
times receives the sum of the gradients of its copies. There are no parameters.

The code reshapes x to (N, C, H, 1, W, 1) and broadcasts it to (N, C, H, s, W, s). The two new axes count the copies.
Reshaping this array to (N, C, s H, s W) gives y. Backward reshapes dy back and sums over the axes of length s.

Reference: Odena, Dumoulin and Olah (2016), "Deconvolution and checkerboard artifacts", doi:10.23915/distill.00003.
"""

from __future__ import annotations

from .. import backend
from ..backend import Array
from ..checks import check_floats, check_gradient, positive_int
from ..module import Module


class Upsample(Module):
    """Nearest-neighbour upsampling of sequences or images.

    Parameters
    ----------
    scale_factor : int
        s, the number of copies along each axis. Pass it by name, because PyTorch's first argument is the output size.
    mode : str
        ``"nearest"``, which copies the nearest element of x. There is no other mode.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> layer = nn.Upsample(scale_factor=2)
    >>> print(layer(np.array([[[1.0, 2.0]]])))
    [[[1. 1. 2. 2.]]]
    >>> print(layer.backward(np.array([[[1.0, 10.0, 5.0, 7.0]]])))
    [[[11. 12.]]]
    """

    arguments = ("scale_factor", "mode")

    def __init__(self, *, scale_factor: int, mode: str = "nearest"):
        self.scale_factor = positive_int("scale_factor", scale_factor)
        if mode != "nearest":
            raise ValueError(f"mode must be 'nearest', got {mode!r}")
        self.mode = mode

    def forward(self, x: Array) -> Array:
        check_floats(self, "x", x)
        if x.ndim not in (3, 4):
            raise ValueError(f"Upsample needs x of shape (N, C, L) or (N, C, H, W), got {x.shape}")
        N, C, *sides = x.shape
        s, xp = self.scale_factor, backend.array_module(x)
        self.save_for_backward(x.shape, x.dtype)
        each_once = x.reshape(N, C, *(length for side in sides for length in (side, 1)))  # (N, C, H, 1, W, 1)
        copies = xp.broadcast_to(each_once, (N, C, *(length for side in sides for length in (side, s))))
        return copies.reshape(N, C, *(s * side for side in sides))

    def backward(self, dy: Array) -> Array:
        (N, C, *sides), dtype = self.saved()
        s = self.scale_factor
        check_gradient(self, dy, (N, C, *(s * side for side in sides)), dtype)
        copies = dy.reshape(N, C, *(length for side in sides for length in (side, s)))  # (N, C, H, s, W, s)
        return copies.sum(axis=tuple(range(3, copies.ndim, 2)))
