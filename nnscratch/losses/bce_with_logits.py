"""BCEWithLogitsLoss: sigmoid and negative log-likelihood combined, for binary classification.

    shapes      logits x, targets t in [0, 1]: any, the same        n = the number of elements

    forward     p  = sigma(x)
                L  = mean of  - t log p - (1 - t) log(1 - p)
                   = mean of  max(x, 0) - x t + log(1 + e^-|x|)         this form never overflows
    backward    dx = (p - t) / n

Each element is a separate yes-or-no question, so one image may have several labels. If exactly one class is correct,
use CrossEntropyLoss.

Reference: Bishop (2006), "Pattern recognition and machine learning", https://link.springer.com/book/9780387310732,
section 4.3.2.
"""

from __future__ import annotations

import numpy as np

from .. import backend
from ..backend import Array
from ..layers.sigmoid import sigmoid
from ..module import Module
from .checks import check_same_shape


class BCEWithLogitsLoss(Module):
    """The binary cross-entropy between targets in [0, 1] and the sigmoid of logits.

    ``criterion(logits, targets)`` takes float arrays of the same shape and dtype.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> criterion = nn.BCEWithLogitsLoss()
    >>> round(criterion(np.array([0.0, 1000.0]), np.array([1.0, 1.0])), 6)            # (log 2 + 0) / 2
    0.346574
    >>> print(criterion.backward())
    [-0.25  0.  ]
    """

    is_batch_mean = True

    def forward(self, prediction: Array, target: Array) -> float:
        check_same_shape(self, prediction, target)
        xp, x, t = backend.array_module(prediction), prediction, target
        if backend.cheap_to_read(t) and not (t.min() >= 0 and t.max() <= 1):
            raise ValueError(f"BCEWithLogitsLoss: target must be in [0, 1], got {t.min()}..{t.max()}")
        self.save_for_backward(x, t)
        loss = xp.maximum(x, 0) - x * t + xp.log1p(xp.exp(-xp.abs(x)))
        return backend.to_scalar(loss.mean(dtype=np.float64))

    def backward(self) -> Array:
        x, t = self.saved()
        p = sigmoid(x)
        return (p - t) / x.size
