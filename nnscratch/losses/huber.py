"""HuberLoss: squared error for small differences, linear error for large differences.

    shapes      prediction x, target t: any, the same       n = the number of elements       d = x - t

    forward     L  = mean of  d^2 / 2                       where |d| <= delta
                              delta (|d| - delta / 2)       elsewhere: a straight line that continues the parabola
    backward    dx = d / n, clipped to the range -delta/n to delta/n

An outlier changes the gradient by at most delta / n. With MSELoss, this change grows with the size of the error.

Reference: Huber (1964), "Robust estimation of a location parameter", doi:10.1214/aoms/1177703732.
"""

from __future__ import annotations

import math

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import finite
from ..module import Module
from .checks import check_same_shape


class HuberLoss(Module):
    """The mean of the Huber function of the differences.

    ``criterion(prediction, target)`` takes float arrays of the same shape and dtype.

    Parameters
    ----------
    delta : float, above 0
        The largest absolute difference for which the loss is quadratic.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> criterion = nn.HuberLoss()
    >>> criterion(np.array([0.5, 100.0]), np.array([0.0, 0.0]))              # (0.125 + 99.5) / 2
    49.8125
    >>> print(criterion.backward())
    [0.25 0.5 ]
    """

    is_batch_mean = True

    arguments = ("delta",)

    def __init__(self, delta: float = 1.0):
        if finite("delta", delta) <= 0:
            raise ValueError(f"delta must be above 0, got {delta!r}")
        self.delta = float(delta)

    def forward(self, prediction: Array, target: Array) -> float:
        check_same_shape(self, prediction, target)
        xp, d = backend.array_module(prediction), prediction - target
        clipped = xp.clip(d, -self.delta, self.delta)
        self.save_for_backward(clipped)
        loss = clipped * (d - 0.5 * clipped)  # d^2 / 2 where clipped is d, and delta (|d| - delta / 2) elsewhere
        return backend.to_scalar(loss.mean(dtype=np.float64))

    def backward(self) -> Array:
        (clipped,) = self.saved()
        return clipped / math.prod(clipped.shape)
