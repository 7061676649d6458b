"""KLDivLoss: how much is lost by believing one distribution where another is true.

    shapes      x (..., C): *log*-probabilities, such as LogSoftmax gives    t (..., C): probabilities    n rows

    forward     L  = sum over all of  t (log t - x) / n             0 log 0 is 0
    backward    dx = - t / n

It is the cross-entropy less the entropy of t, so it is 0 where the two agree; and since t is fixed, its gradient is
the cross-entropy's. What a small model minimises to learn from the soft answers of a large one (distillation), with t
the large one's softmax. The mean is over rows, as the definition has it: PyTorch's reduction="batchmean", where its
default divides by C as well.

Reference: Kullback and Leibler (1951), "On information and sufficiency".
"""

from __future__ import annotations

import numpy as np

from .. import backend
from ..backend import Array
from ..module import Module
from .checks import check_pair


class KLDivLoss(Module):
    """The Kullback-Leibler divergence of predicted log-probabilities from target probabilities, averaged over rows.

    ``criterion(log_probabilities, probabilities)`` takes float arrays of one shape, (..., C), and dtype.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> criterion = nn.KLDivLoss()
    >>> round(criterion(np.log(np.array([[0.5, 0.5]])), np.array([[1.0, 0.0]])), 6)              # log 2
    0.693147
    >>> print(criterion.backward())
    [[-1. -0.]]
    """

    def forward(self, prediction: Array, target: Array) -> float:
        check_pair(self, prediction, target)
        xp, x, t = backend.array_module(prediction), prediction, target
        if x.ndim == 0:
            raise ValueError("KLDivLoss needs prediction and target of shape (..., C), got single numbers")
        if backend.cheap_to_read(t) and not t.min() >= 0:
            raise ValueError(
                f"KLDivLoss: target must be probabilities, 0 or more, got {t.min()}; the *prediction* is logs"
            )
        # A little above 0 may be rounding, or the step of a gradient checker.
        if backend.cheap_to_read(x) and x.max() > 0.01:
            raise ValueError(
                f"KLDivLoss: prediction must be log-probabilities, 0 or less, got {x.max()}; nn.LogSoftmax makes them"
            )
        self.save_for_backward(t)
        log_t = xp.log(xp.where(t > 0, t, 1))  # 0 where t is 0, so that 0 log 0 is 0
        return backend.to_scalar(xp.where(t > 0, t * (log_t - x), 0).sum(dtype=np.float64)) * t.shape[-1] / t.size

    def backward(self) -> Array:
        (t,) = self.saved()
        return -t * (t.shape[-1] / t.size)
