"""Softplus: y = log(1 + e^x), a smooth version of ReLU.

    shapes      x, y: any, the same

    forward     y  = log(1 + e^x) = max(x, 0) + log(1 + e^-|x|)         the second form never overflows
    backward    dx = dy sigma(x)                                        the slope is the sigmoid of x

The output is always positive. Use this layer where a network must output a positive number, such as a standard
deviation.

Reference: Dugas, Bengio, Belisle, Nadeau and Garcia (2001), "Incorporating second-order functional knowledge for better
option pricing", https://proceedings.neurips.cc/paper/2000/hash/44968aece94f667e4095002d140b5896-Abstract.html.
"""

from __future__ import annotations

from .. import backend
from ..backend import Array
from ..checks import check_floats, check_gradient
from ..module import Module
from .sigmoid import sigmoid


class Softplus(Module):
    """A smooth rectifier, applied to each element.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> layer = nn.Softplus()
    >>> print(layer(np.array([-800.0, 0.0, 80.0])).round(4))
    [ 0.      0.6931 80.    ]
    >>> print(layer.backward(np.ones(3)))
    [0.  0.5 1. ]
    """

    def forward(self, x: Array) -> Array:
        check_floats(self, "x", x)
        self.save_for_backward(x)
        return softplus(x)

    def backward(self, dy: Array) -> Array:
        (x,) = self.saved()
        check_gradient(self, dy, x.shape, x.dtype)
        return dy * sigmoid(x)


def softplus(x: Array) -> Array:
    """Return log(1 + exp(x)) of an array of floats, without overflow."""
    xp = backend.array_module(x)
    return xp.maximum(x, 0) + xp.log1p(xp.exp(-xp.abs(x)))
