"""ELU: the identity for positive x, and an exponential that approaches -a for negative x.

    shapes      x, y: any, the same         a = alpha

    forward     y  = x  where x > 0, else  a (e^x - 1)
    backward    dx = dy where x > 0, else  dy a e^x = dy (y + a)

With a = 1 the two branches have the same slope at 0, so there is no kink. The outputs of ELU are positive and negative,
so their mean is closer to zero than the mean of ReLU's outputs.

Reference: Clevert, Unterthiner and Hochreiter (2016), "Fast and accurate deep network learning by exponential linear
units (ELUs)", arXiv:1511.07289.
"""

from __future__ import annotations

from .. import backend
from ..backend import Array
from ..checks import check_floats, check_gradient, finite
from ..module import Module


class ELU(Module):
    """The exponential linear unit, applied to each element.

    Parameters
    ----------
    alpha : float
        a. With a > 0, y is never below -a.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> layer = nn.ELU()
    >>> print(layer(np.array([-100.0, 0.0, 2.0])))
    [-1.  0.  2.]
    >>> print(layer.backward(np.ones(3)))
    [0. 1. 1.]
    """

    arguments = ("alpha",)

    def __init__(self, alpha: float = 1.0):
        self.alpha = finite("alpha", alpha)

    def forward(self, x: Array) -> Array:
        check_floats(self, "x", x)
        xp = backend.array_module(x)
        # expm1(x) computes e^x - 1 accurately for small x. `where` evaluates both branches. Without the minimum, e^x
        # would overflow for large x, although its result is not used there.
        y = xp.where(x > 0, x, self.alpha * xp.expm1(xp.minimum(x, 0)))
        self.save_for_backward(x, y)
        return y

    def backward(self, dy: Array) -> Array:
        x, y = self.saved()
        check_gradient(self, dy, y.shape, y.dtype)
        return backend.array_module(x).where(x > 0, dy, dy * (y + self.alpha))
