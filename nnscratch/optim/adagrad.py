"""Adagrad: every weight's step shrinks with all the gradients it has ever had.

    s = s + g^2
    w = w - lr g / (sqrt(s) + eps)

A weight that seldom gets a gradient, such as a rare word's embedding, keeps a long step for when it does. But s only
grows, so in the end all steps go to zero; RMSprop and Adam let s forget.

Weight decay, if any, is added to the gradient first: g = g + weight_decay w.

Reference: Duchi, Hazan and Singer (2011), "Adaptive subgradient methods for online learning and stochastic
optimization".
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from .. import backend
from ..backend import Array
from ..parameter import Parameter
from .optimizer import Optimizer, at_least, takes_lists


class Adagrad(Optimizer):
    """Adaptive gradient: step sizes from the sum of squared gradients.

    Parameters
    ----------
    params : iterable of Parameter
    lr : float
    eps : float
    weight_decay : float

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> w = nn.Parameter(np.array([0.0]))
    >>> optimizer = nn.optim.Adagrad([w], lr=1.0)
    >>> for _ in range(4):
    ...     w.grad[:] = -5.0
    ...     optimizer.step()
    >>> print(w.data.round(4))                  # 1 + 1/sqrt(2) + 1/sqrt(3) + 1/sqrt(4)
    [2.7845]
    """

    moments = ("sum",)  # PyTorch's name for s

    def __init__(self, params: Iterable[Parameter], lr: float = 1e-2, eps: float = 1e-10, weight_decay: float = 0.0):
        self.eps = at_least("eps", eps, 0)
        self.weight_decay = at_least("weight_decay", weight_decay, 0)
        self.rests_at_zero = not self.weight_decay and self.eps > 0  # without eps, 0 / 0
        super().__init__(params, lr)

    @takes_lists
    def update(self, w: Array, g: Array, s: Array) -> None:
        adagrad_step(g, self.lr, self.eps, self.weight_decay, w, s)


@backend.fused(
    "T g, T lr, T eps, T weight_decay",
    "T w, T s",
    """
    const T d = g + weight_decay * w;
    s += d * d;
    w -= lr * d / (sqrt(s) + eps);
    """,
)
def adagrad_step(g: Array, lr: float, eps: float, weight_decay: float, w: Array, s: Array) -> None:
    """Change w and s by the gradient g."""
    if weight_decay:
        g = g + weight_decay * w
    s += g * g
    w -= lr * g / (np.sqrt(s) + eps)
