"""Adagrad: the step size of each weight shrinks with the sum of its squared gradients.

    g = g + weight_decay w              only with weight decay
    s = s + g^2                         s starts at zero
    w = w - lr g / (sqrt(s) + eps)

A weight that seldom gets a gradient, such as the embedding of a rare word, keeps a large step size. But s never
decreases, so over a long run all step sizes approach zero. RMSprop and Adam forget old gradients instead.

Reference: Duchi, Hazan and Singer (2011), "Adaptive subgradient methods for online learning and stochastic
optimization", https://jmlr.org/papers/v12/duchi11a.html.
"""

from __future__ import annotations

from collections.abc import Iterable

from .. import backend
from ..backend import Array
from ..checks import at_least
from ..parameter import Parameter
from .kernels import adagrad_step
from .optimizer import Optimizer, positive_in, takes_lists


class Adagrad(Optimizer):
    """Adagrad, the adaptive gradient method.

    Parameters
    ----------
    params : iterable of Parameter
    lr : float
        The learning rate, 0 or more.
    eps : float
        A small number that keeps the denominator above zero.
    weight_decay : float
        0 or more. Adds ``weight_decay * w`` to the gradient.

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
    squares = ("sum",)

    def __init__(self, params: Iterable[Parameter], lr: float = 1e-2, eps: float = 1e-10, weight_decay: float = 0.0):
        self.eps = at_least("eps", eps, 0)
        super().__init__(params, lr, weight_decay)
        positive_in(self.eps, self.parameters)

    def check_settings(self) -> None:
        super().check_settings()
        at_least("eps", self.eps, 0)

    @property
    def rests_at_zero(self) -> bool:
        return not self.weight_decay and self.eps > 0  # with eps = 0, the update would be 0 / 0

    def textbook_update(self, w: Array, g: Array, s: Array) -> tuple[Array, Array]:
        """Return the new w and s by the equations at the top of this file. `update` computes them in place."""
        g = g + self.weight_decay * w
        s = s + g**2
        w = w - self.lr * g / (backend.array_module(s).sqrt(s) + self.eps)
        return w, s

    @takes_lists
    def update(self, w: Array, g: Array, s: Array) -> None:
        adagrad_step(g, self.lr, self.eps, self.weight_decay, w, s)
