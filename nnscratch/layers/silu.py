"""SiLU, also called swish: y = x sigma(x), the input multiplied by its own sigmoid.

    shapes      x, y, s: any, the same

    forward     s  = sigma(x) = 1 / (1 + e^-x)
                y  = x s
    backward    dx = dy (s + x s (1 - s)) = dy s (1 + x (1 - s))        the product rule, with s' = s (1 - s)

References: Elfwing, Uchibe and Doya (2018), "Sigmoid-weighted linear units for neural network function approximation in
reinforcement learning", arXiv:1702.03118; Ramachandran, Zoph and Le (2017), "Searching for activation functions",
arXiv:1710.05941.
"""

from __future__ import annotations

from ..backend import Array
from ..checks import check_floats, check_gradient
from ..module import Module
from .sigmoid import sigmoid


class SiLU(Module):
    """The sigmoid-weighted linear unit, applied to each element.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> layer = nn.SiLU()
    >>> print(layer(np.array([-800.0, 0.0, 800.0])))
    [ -0.   0. 800.]
    >>> print(layer.backward(np.ones(3)))
    [-0.   0.5  1. ]
    """

    def forward(self, x: Array) -> Array:
        check_floats(self, "x", x)
        s = sigmoid(x)
        self.save_for_backward(x, s)
        return x * s

    def backward(self, dy: Array) -> Array:
        x, s = self.saved()
        check_gradient(self, dy, x.shape, x.dtype)
        return dy * (s * (1 + x * (1 - s)))
