"""Residual: y = x + f(x). The inner layers learn only the change of x.

    shapes      x, y and f(x) have the same shape; with a projection, y, f(x) and p(x) have the same shape

    forward     y  = x + f(x)                   y  = p(x) + f(x)        with a projection p
    backward    dx = dy + df/dx^T dy            dx = dp/dx^T dy + df/dx^T dy

The gradient flows through both paths. Without a projection, the path of x does not change the gradient. A projection,
such as a convolution with a 1x1 kernel, gives x the shape of f(x). Only a block that changes the shape needs a
projection.

In a plain network of a hundred layers, the gradient is a product of a hundred Jacobians, which vanishes or explodes.
Here each factor is 1 + df/dx. Because of the 1, the gradient reaches the first layer.

Reference: He, Zhang, Ren and Sun (2016), "Deep residual learning for image recognition", arXiv:1512.03385.
"""

from __future__ import annotations

from ..backend import Array
from ..module import Module
from ..sequential import Sequential


class Residual(Sequential):
    """Apply modules one after another, as Sequential does, and add their input to the result.

    Parameters
    ----------
    *modules : Module
        f. Without a projection, the last module's output must have the shape of the first module's input.
    projection : Module, optional
        p.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> block = nn.Residual(nn.ReLU())
    >>> print(block(np.array([-1.0, 2.0])))
    [-1.  4.]
    >>> print(block.backward(np.ones(2)))
    [1. 2.]

    The first block of a stage of a ResNet. It halves the image and doubles the channels:

    >>> f = nn.Conv2d(4, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1)
    >>> block = nn.Residual(*f, projection=nn.Conv2d(4, 8, 1, stride=2))
    >>> block(np.ones((2, 4, 6, 6), dtype=np.float32)).shape
    (2, 8, 3, 3)
    """

    def __init__(self, *modules: Module, projection: Module | None = None):
        super().__init__(*modules)
        if projection is not None and not isinstance(projection, Module):
            raise TypeError(f"Residual: projection must be a Module or None, got {type(projection).__name__}")
        self.projection = projection

    @property
    def layers(self) -> list[Module]:
        return [module for name, module in self.named_children() if name != "projection"]

    def config(self) -> dict[str, Module | None]:
        return {} if self.projection is None else {"projection": self.projection}

    def forward(self, x: Array) -> Array:
        change = super().forward(x)
        shortcut = x if self.projection is None else self.projection(x)
        if change.shape != shortcut.shape:
            name = "x" if self.projection is None else "the projection of x"
            raise ValueError(
                f"Residual adds the output of its modules to {name}, so both must have the same shape; "
                f"got {name} of shape {shortcut.shape} and an output of shape {change.shape}"
            )
        return shortcut + change

    def backward(self, dy: Array) -> Array:
        dshortcut = dy if self.projection is None else self.projection.backward(dy)
        return dshortcut + super().backward(dy)
