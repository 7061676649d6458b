"""Flatten: combine all axes except the first into one.

shapes      x (N, ...)    y (N, D)    D = the product of the other axes

forward     y  = x, each example as one row
backward    dx = dy, in the shape of x
"""

from __future__ import annotations

import math

from ..backend import Array
from ..checks import check_floats, check_gradient
from ..module import Module


class Flatten(Module):
    """Flatten each example to one row, for example between a convolution and a Linear layer.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> layer = nn.Flatten()
    >>> layer(np.zeros((32, 3, 8, 8))).shape
    (32, 192)
    >>> layer.backward(np.zeros((32, 192))).shape
    (32, 3, 8, 8)
    """

    def forward(self, x: Array) -> Array:
        check_floats(self, "x", x)
        if x.ndim < 2:
            raise ValueError(f"Flatten needs a batch x of shape (N, ...), got {x.shape}")
        self.save_for_backward(x.shape, x.dtype)
        return x.reshape(len(x), math.prod(x.shape[1:])).copy()

    def backward(self, dy: Array) -> Array:
        shape, dtype = self.saved()
        check_gradient(self, dy, (shape[0], math.prod(shape[1:])), dtype)
        return dy.reshape(shape).copy()
