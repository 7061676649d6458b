"""Residual: y = x + f(x). The inner layers learn only the change of x.

    shapes      x, y and f(x) have the same shape

    forward     y  = x + f(x)
    backward    dx = dy + df/dx^T dy         the gradient takes both paths, and passes one of them unchanged

Through a hundred layers the product of a hundred Jacobians vanishes or explodes. Here each factor is 1 + df/dx, and
the 1 carries the gradient down to the first layer.

Reference: He, Zhang, Ren and Sun (2016), "Deep residual learning for image recognition".
"""

from __future__ import annotations

from ..backend import Array
from ..sequential import Sequential


class Residual(Sequential):
    """Apply modules one after another, as Sequential does, and add their input to the result.

    Parameters
    ----------
    *modules : Module
        The output of the last must have the shape of the input of the first.

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
                f"Residual adds the output of its modules to x, so both must have the same shape; "
                f"got x of shape {x.shape} and an output of shape {change.shape}"
            )
        return x + change

    def backward(self, dy: Array) -> Array:
        return dy + super().backward(dy)
