"""MSELoss: the mean of the squared differences, for regression.

    shapes      prediction x, target t: any, the same       n = the number of elements

    forward     L  = sum (x - t)^2 / n
    backward    dx = 2 (x - t) / n

n counts elements, not rows, as in PyTorch. If the targets contain Gaussian noise of constant variance, minimising this
loss maximises their likelihood.

Reference: Bishop (2006), "Pattern recognition and machine learning", https://link.springer.com/book/9780387310732,
section 3.1.1.
"""

from __future__ import annotations

import numpy as np

from .. import backend
from ..backend import Array
from ..module import Module
from .checks import check_same_shape


class MSELoss(Module):
    """The mean of the squared differences.

    ``criterion(prediction, target)`` takes float arrays of the same shape and dtype.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> criterion = nn.MSELoss()
    >>> criterion(np.array([1.0, 4.0]), np.array([1.0, 2.0]))
    2.0
    >>> print(criterion.backward())
    [0. 2.]
    """

    is_batch_mean = True

    def forward(self, prediction: Array, target: Array) -> float:
        check_same_shape(self, prediction, target)
        difference = prediction - target
        self.save_for_backward(difference)
        return backend.to_scalar((difference * difference).mean(dtype=np.float64))

    def backward(self) -> Array:
        (difference,) = self.saved()
        return difference * (2 / difference.size)
