"""Sigmoid: y = 1 / (1 + e^-x), a smooth step from 0 to 1.

    shapes      x, y: any, the same

    forward     y  = 1 / (1 + e^-x)
    backward    dx = dy * y (1 - y)         because sigma'(x) = sigma(x) (1 - sigma(x)), and y = sigma(x)

A common mistake is to compute sigma'(y) instead of sigma'(x): y is already the output of sigma. The documentation
shows this step by step, in the derivation of a network with layers of 1, 2 and 1 units.

The code computes the equal expression 1/2 + tanh(x/2)/2. It never overflows, whereas e^-x overflows for x = -800. NumPy
also computes tanh several times faster than exp.

Reference: Rumelhart, Hinton and Williams (1986), "Learning representations by back-propagating errors",
doi:10.1038/323533a0.
"""

from __future__ import annotations

from .. import backend
from ..backend import Array
from ..checks import check_floats, check_gradient
from ..module import Module


def sigmoid(x: Array, out: Array | None = None) -> Array:
    """Return 1 / (1 + exp(-x)) without overflow.

    Parameters
    ----------
    x : array of floats
    out : array, optional
        The array to write the result into. It may be `x` itself.
    """
    xp = backend.array_module(x)
    y = xp.multiply(x, 0.5, out=xp.empty_like(x) if out is None else out)
    xp.tanh(y, out=y)
    y *= 0.5
    y += 0.5
    return y


class Sigmoid(Module):
    """The logistic function, applied to each element.

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
