"""LeakyReLU: a ReLU with a small slope for negative x, where ReLU has slope 0.

    shapes      x, y: any, the same         a = negative_slope

    forward     y  = x  where x > 0, else  a x
    backward    dx = dy where x > 0, else  a dy

A ReLU unit whose input is negative for every example gets no gradient and stops learning. Here it still gets a small
gradient. At the kink, x = 0, this layer uses the slope from the left, as ReLU does.

Reference: Maas, Hannun and Ng (2013), "Rectifier nonlinearities improve neural network acoustic models",
https://ai.stanford.edu/~amaas/papers/relu_hybrid_icml2013_final.pdf.
"""

from __future__ import annotations

from .. import backend
from ..backend import Array
from ..checks import check_floats, check_gradient, finite
from ..module import Module


class LeakyReLU(Module):
    """The leaky rectified linear unit, applied to each element.

    Parameters
    ----------
    negative_slope : float
        a, the slope for x <= 0.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> layer = nn.LeakyReLU(0.1)
    >>> print(layer(np.array([-1.0, 0.0, 2.0])))
    [-0.1  0.   2. ]
    >>> print(layer.backward(np.ones(3)))
    [0.1 0.1 1. ]
    """

    arguments = ("negative_slope",)

    def __init__(self, negative_slope: float = 0.01):
        self.negative_slope = finite("negative_slope", negative_slope)

    def forward(self, x: Array) -> Array:
        check_floats(self, "x", x)
        y = backend.array_module(x).where(x > 0, x, self.negative_slope * x)
        self.save_for_backward(x)
        return y

    def backward(self, dy: Array) -> Array:
        (x,) = self.saved()
        check_gradient(self, dy, x.shape, x.dtype)
        return backend.array_module(x).where(x > 0, dy, self.negative_slope * dy)
