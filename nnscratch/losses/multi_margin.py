"""MultiMarginLoss: the hinge loss for several classes. The correct score must exceed every other score by a margin.

    shapes      scores x (n, C)    labels t (n,)

    forward     L  = mean over rows of  sum over j != t of  max(0, margin - x_t + x_j) / C
    backward    dx_j = 1 / (n C)         for every j != t whose term is positive
                dx_t = - k / (n C)       where k is the number of those j

This is the loss of the support vector machine, in the form of Weston and Watkins for several classes. If the correct
score exceeds all other scores by the margin, the loss and its gradient are exactly zero. The gradient of cross-entropy,
in contrast, is never zero. As in PyTorch, the sum is divided by C. The notes of the course CS231n omit this division.
The loss has a kink where the difference of two scores equals the margin. There, this layer uses the slope 0.

Reference: Weston and Watkins (1999), "Support vector machines for multi-class pattern recognition",
https://www.elen.ucl.ac.be/Proceedings/esann/esannpdf/es1999-461.pdf.
"""

from __future__ import annotations

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import check_ids, finite
from ..module import Module
from .checks import check_labels


class MultiMarginLoss(Module):
    """The multi-class hinge loss, averaged over rows and classes.

    ``criterion(scores, target)`` takes scores (..., C) and integer labels (...).

    Parameters
    ----------
    margin : float
        The amount by which the correct score must exceed every other score.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> criterion = nn.MultiMarginLoss()
    >>> criterion(np.array([[3.0, 2.5, 0.0]]), np.array([0]))               # only 2.5 is above 3 - 1: 0.5 / 3
    0.16666666666666666
    >>> print(criterion.backward().round(4))
    [[-0.3333  0.3333  0.    ]]
    """

    is_batch_mean = True

    arguments = ("margin",)

    def __init__(self, margin: float = 1.0):
        self.margin = finite("margin", margin)

    def forward(self, scores: Array, target: Array) -> float:
        check_labels(self, "scores", scores, target)
        xp, C = backend.array_module(scores), scores.shape[-1]
        x, t = scores.reshape(-1, C), target.reshape(-1)
        check_ids(self, "target", t, C)
        label = xp.arange(len(t)), t  # the index of x_t in every row
        terms = self.margin - x[label][:, None] + x  # (n, C)
        terms[label] = 0  # the sum leaves out j = t
        xp.maximum(terms, 0, out=terms)
        self.save_for_backward(terms > 0, label, scores.shape, x.dtype)
        return backend.to_scalar(terms.sum(dtype=np.float64)) / terms.size

    def backward(self) -> Array:
        """Return dL/d(scores), shape (..., C)."""
        positive, label, shape, dtype = self.saved()
        dx = positive.astype(dtype)  # 1 or 0, and 0 at the labels
        dx[label] = -dx.sum(axis=1)
        dx *= 1 / dx.size
        return dx.reshape(shape)
