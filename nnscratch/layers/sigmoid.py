"""Sigmoid: y = 1 / (1 + exp(-x)), a smooth switch from 0 to 1.

    forward     y  = 1 / (1 + e^-x)
    backward    dx = dy * y (1 - y)         y is sigma(x): the slope is written with the *output*

The slope is sigma'(x) = sigma(x) (1 - sigma(x)). A common slip is to put y into sigma' itself, that is to compute
sigma'(sigma(x)): see the derivation of the 1-2-1 network in the documentation.

Written as it stands, e^-x overflows for x = -800. The same function is 1/2 + tanh(x/2)/2, which never does, and which
NumPy computes several times faster.

Reference: Rumelhart, Hinton and Williams (1986), "Learning representations by back-propagating errors".
"""

from __future__ import annotations

from .. import backend
from ..backend import Array
from ..checks import check_floats, check_gradient
from ..module import Module


def sigmoid(x: Array, out: Array | None = None) -> Array:
    """1 / (1 + exp(-x)) for an array of floats, without overflow; into `out` if given (which may be `x`)."""
    xp = backend.array_module(x)
    y = xp.multiply(x, 0.5, out=xp.empty_like(x) if out is None else out)
    xp.tanh(y, out=y)
    y *= 0.5
    y += 0.5
    return y


class Sigmoid(Module):
    """The logistic function, element by element.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> layer = nn.Sigmoid()
    >>> print(layer(np.array([-800.0, 0.0, 800.0])))
    [0.  0.5 1. ]
    >>> print(layer.backward(np.ones(3)))
    [0.   0.25 0.  ]
    """

    def forward(self, x: Array) -> Array:
        check_floats(self, "x", x)
        y = sigmoid(x)
        self.save_for_backward(y)
        return y

    def backward(self, dy: Array) -> Array:
        (y,) = self.saved()
        check_gradient(self, dy, y.shape, y.dtype)
        return dy * (y * (1 - y))
