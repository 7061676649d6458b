"""ReLU: y = max(x, 0), the rectified linear unit.

    shapes      x, y: any, the same

    forward     y  = x where x > 0, else 0
    backward    dx = dy where x > 0, else 0

At x = 0 the function has a kink: its slope is 0 from the left and 1 from the right. Any value between them is a
subgradient. This layer uses 0, as most libraries do.

Reference: Nair and Hinton (2010), "Rectified linear units improve restricted Boltzmann machines",
https://www.cs.toronto.edu/~hinton/absps/reluICML.pdf.
"""

from __future__ import annotations

from .. import backend
from ..backend import Array
from ..checks import check_floats, check_gradient
from ..module import Module


class ReLU(Module):
    """The rectified linear unit, applied to each element.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> layer = nn.ReLU()
    >>> print(layer(np.array([-1.0, 0.0, 2.0])))
    [0. 0. 2.]
    >>> print(layer.backward(np.ones(3)))
    [0. 0. 1.]
    """

    def forward(self, x: Array) -> Array:
        check_floats(self, "x", x)
        xp = backend.array_module(x)
        y = xp.zeros_like(x)
        xp.maximum(x, y, out=y)  # twice as fast as maximum(x, 0), whose second argument is a scalar
        self.save_for_backward(y)
        return y

    def backward(self, dy: Array) -> Array:
        (y,) = self.saved()  # y > 0 exactly where x > 0, so keeping y is enough
        check_gradient(self, dy, y.shape, y.dtype)
        return dy * (y > 0)
