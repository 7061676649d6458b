"""KLDivLoss: the Kullback-Leibler divergence, a measure of how much a predicted distribution differs from a target.

    shapes      x (..., C): log-probabilities, for example from LogSoftmax    t (..., C): probabilities    n rows

    forward     L  = sum over all elements of  t (log t - x) / n        with 0 log 0 = 0
    backward    dx = - t / n

The divergence is the cross-entropy minus the entropy of t. It is 0 if the two distributions are equal. Since t is
fixed, the divergence and the cross-entropy have the same gradient. In distillation, a small model minimises this loss
to learn from the softmax outputs t of a large model.

The mean is over rows. This is PyTorch's reduction="batchmean". PyTorch's default reduction also divides by C.

Reference: Kullback and Leibler (1951), "On information and sufficiency", doi:10.1214/aoms/1177729694.
"""

from __future__ import annotations

import numpy as np

from .. import backend
from ..backend import Array
from ..module import Module
from .checks import check_same_shape


class KLDivLoss(Module):
    """The Kullback-Leibler divergence between predicted log-probabilities and target probabilities, averaged over rows.

    ``criterion(log_probabilities, probabilities)`` takes two float arrays of equal dtype and equal shape (..., C).

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> criterion = nn.KLDivLoss()
    >>> round(criterion(np.log(np.array([[0.5, 0.5]])), np.array([[1.0, 0.0]])), 6)              # log 2
    0.693147
    >>> print(criterion.backward())
    [[-1. -0.]]
    """

    is_batch_mean = True

    def forward(self, prediction: Array, target: Array) -> float:
        check_same_shape(self, prediction, target)
        xp, x, t = backend.array_module(prediction), prediction, target
        if x.ndim == 0:
            raise ValueError("KLDivLoss needs prediction and target of shape (..., C), got arrays of shape ()")
        if backend.cheap_to_read(t) and not t.min() >= 0:
            raise ValueError(
                f"KLDivLoss: target must be probabilities, 0 or more, got {t.min()}; "
                "only the prediction contains logarithms"
            )
        # Allow values slightly above 0: they come from rounding, or from the steps of a gradient checker.
        if backend.cheap_to_read(x) and x.max() > 0.01:
            raise ValueError(
                f"KLDivLoss: prediction must be log-probabilities, 0 or less, got {x.max()}; "
                f"compute them with nn.LogSoftmax"
            )
        self.save_for_backward(t)
        # Where t is 0, compute log 1 instead of log 0. The loss of these elements is 0.
        log_t = xp.log(xp.where(t > 0, t, 1))
        loss = xp.where(t > 0, t * (log_t - x), 0)  # (..., C)
        return backend.to_scalar(loss.sum(dtype=np.float64)) * t.shape[-1] / t.size  # n = size / C

    def backward(self) -> Array:
        (t,) = self.saved()
        return -t * (t.shape[-1] / t.size)
