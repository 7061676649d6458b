"""HuberLoss: squared for small differences, linear for large ones.

    shapes      x, t any, the same    n = how many numbers they have    d = x - t

    forward     L  = mean of  d^2 / 2                       where |d| <= delta
                              delta (|d| - delta / 2)       elsewhere: a straight line that continues the parabola
    backward    dx = d / n, clipped to within delta / n

One wild target pulls with a force of delta at the most; with MSELoss it would pull as hard as it is far away.

Reference: Huber (1964), "Robust estimation of a location parameter".
"""

from __future__ import annotations

import math

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import finite
from ..module import Module
from .checks import check_pair


class HuberLoss(Module):
    """The mean of squares that turn into straight lines.

    ``criterion(prediction, target)`` takes float arrays of one shape and dtype.

    Parameters
    ----------
    delta : float, above 0
        Where the parabola ends.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> criterion = nn.HuberLoss()
    >>> criterion(np.array([0.5, 100.0]), np.array([0.0, 0.0]))              # (0.125 + 99.5) / 2
    49.8125
    >>> print(criterion.backward())
    [0.25 0.5 ]
    """

    arguments = ("delta",)

    def __init__(self, delta: float = 1.0):
        if finite("delta", delta) <= 0:
            raise ValueError(f"delta must be above 0, got {delta!r}")
        self.delta = float(delta)

    def forward(self, prediction: Array, target: Array) -> float:
        check_pair(self, prediction, target)
        xp, d = backend.array_module(prediction), prediction - target
        clipped = xp.clip(d, -self.delta, self.delta)
        self.save_for_backward(clipped)
        loss = clipped * (d - 0.5 * clipped)  # both branches: c = d, or c = +-delta
        return backend.to_scalar(loss.mean(dtype=np.float64))

    def backward(self) -> Array:
        (clipped,) = self.saved()
        return clipped / math.prod(clipped.shape)
