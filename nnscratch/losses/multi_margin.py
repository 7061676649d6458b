"""MultiMarginLoss: the hinge for several classes. The right score must lead every other by a margin.

    shapes      scores x (n, C)    labels t (n,)

    forward     L  = mean over rows of  sum over j != t of  max(0, margin - x_t + x_j) / C
    backward    dx_j = 1 / (n C) for every j != t inside the margin;   dx_t = - how many those are / (n C)

Once the right class leads by the margin the loss is exactly zero and nothing moves, where cross-entropy goes on pushing
for ever: it is the support vector machine's loss, with several classes as Weston and Watkins have it. As in PyTorch it
is divided by C too; CS231n's notes leave that out. At the kink, a lead of exactly the margin, the slope is 0.

Reference: Weston and Watkins (1999), "Support vector machines for multi-class pattern recognition".
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

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> criterion = nn.MultiMarginLoss()
    >>> criterion(np.array([[3.0, 2.5, 0.0]]), np.array([0]))               # only 2.5 is nearer than 1 to 3: 0.5 / 3
    0.16666666666666666
    >>> print(criterion.backward().round(4))
    [[-0.3333  0.3333  0.    ]]
    """

    arguments = ("margin",)

    def __init__(self, margin: float = 1.0):
        self.margin = finite("margin", margin)

    def forward(self, scores: Array, target: Array) -> float:
        check_labels(self, "scores", scores, target)
        xp, C = backend.array_module(scores), scores.shape[-1]
        x, t = scores.reshape(-1, C), target.reshape(-1)
        check_ids(self, "target", t, C)
        at_label = xp.arange(len(t)), t
        short = self.margin - x[at_label][:, None] + x  # (n, C): by how much each score falls short of the margin
        short[at_label] = 0  # a label has no margin to itself
        xp.maximum(short, 0, out=short)
        self.save_for_backward(short > 0, at_label, scores.shape, x.dtype)
        return backend.to_scalar(short.sum(dtype=np.float64)) / short.size

    def backward(self) -> Array:
        """dL/d(scores), shape (..., C)."""
        inside, at_label, shape, dtype = self.saved()
        dx = inside.astype(dtype)  # 0 at the labels
        dx[at_label] = -dx.sum(axis=1)
        dx *= 1 / dx.size
        return dx.reshape(shape)
