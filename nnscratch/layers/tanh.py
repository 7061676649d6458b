"""Tanh: y = tanh(x), a smooth step from -1 to 1.

    shapes      x, y: any, the same

    forward     y  = (e^x - e^-x) / (e^x + e^-x)
    backward    dx = dy * (1 - y^2)         because tanh'(x) = 1 - tanh(x)^2

Reference: LeCun, Bottou, Orr and Müller (1998), "Efficient BackProp", doi:10.1007/3-540-49430-8_2. Section 4.4 explains
why networks with tanh learn faster than networks with the sigmoid.
"""

from __future__ import annotations

from .. import backend
from ..backend import Array
from ..checks import check_floats, check_gradient
from ..module import Module


class Tanh(Module):
    """The hyperbolic tangent, applied to each element.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> layer = nn.Tanh()
    >>> print(layer(np.array([-50.0, 0.0, 50.0])))
    [-1.  0.  1.]
    >>> print(layer.backward(np.ones(3)))
    [0. 1. 0.]
    """

    def forward(self, x: Array) -> Array:
        check_floats(self, "x", x)
        y = backend.array_module(x).tanh(x)
        self.save_for_backward(y)
        return y

    def backward(self, dy: Array) -> Array:
        (y,) = self.saved()
        check_gradient(self, dy, y.shape, y.dtype)
        return dy * (1 - y * y)
