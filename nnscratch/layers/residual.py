"""Residual: y = x + f(x). The layers inside only have to learn what to change.

    shapes      x, y, f(x): all the same

    forward     y  = x + f(x)
    backward    dx = dy + df/dx^T dy         the gradient comes back on both ways, and on one of them unchanged

Through a hundred layers the product of a hundred Jacobians vanishes or explodes; here each factor is 1 + df/dx, and
the 1 carries the gradient down to the first layer.

Reference: He, Zhang, Ren and Sun (2016), "Deep residual learning for image recognition".
"""

from __future__ import annotations

from ..backend import Array
from ..sequential import Sequential


class Residual(Sequential):
    """The modules one after the other, as in Sequential, and their input added to what comes out.

    Parameters
    ----------
    *modules : Module
        What comes out of the last must have the shape of what goes into the first.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> block = nn.Residual(nn.ReLU())
    >>> print(block(np.array([-1.0, 2.0])))
    [-1.  4.]
    >>> print(block.backward(np.ones(2)))
    [1. 2.]
    """

    def forward(self, x: Array) -> Array:
        change = super().forward(x)
        if change.shape != x.shape:
            raise ValueError(
                f"Residual adds what its modules make of x to x, and they made {change.shape} of {x.shape}: "
                f"the shapes must be the same"
            )
        return x + change

    def backward(self, dy: Array) -> Array:
        return dy + super().backward(dy)
