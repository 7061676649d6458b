"""Adam: each weight has its own step size, from running means of its gradient and of the gradient's square.

    g  = g + weight_decay w                 only with weight decay
    m  = beta1 m + (1 - beta1) g            running mean of the gradient
    v  = beta2 v + (1 - beta2) g^2          running mean of its square
    m^ = m / (1 - beta1^t)                  t = 1, 2, 3, ... is the number of the step
    v^ = v / (1 - beta2^t)                  m and v start at zero and are too small at first: m^ and v^ correct them
    w  = w - lr m^ / (sqrt(v^) + eps)

Reference: Kingma and Ba (2015), "Adam: a method for stochastic optimization", arXiv:1412.6980.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .. import backend
from ..backend import Array
from ..checks import at_least
from ..parameter import Parameter
from . import kernels
from .optimizer import Optimizer, positive_in, takes_lists


class Adam(Optimizer):
    """Adam, adaptive moment estimation.

    Parameters
    ----------
    params : iterable of Parameter
    lr : float
        The learning rate, 0 or more.
    betas : (float, float), each in [0, 1)
        The fractions of m and of v that each step keeps.
    eps : float
        A small number that keeps the denominator above zero.
    weight_decay : float
        0 or more. Adds ``weight_decay * w`` to the gradient.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> w = nn.Parameter(np.array([1.0, 1.0]))
    >>> optimizer = nn.optim.Adam([w], lr=0.1)
    >>> w.grad[:] = 1000.0, 0.001               # at the first step only the gradient's sign counts
    >>> optimizer.step()
    >>> print(w.data.round(4))
    [0.9 0.9]
    """

    moments = ("exp_avg", "exp_avg_sq")  # PyTorch's names for m and v
    squares = ("exp_avg_sq",)

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ):
        self.betas, self.eps = _pair_of_betas(betas), at_least("eps", eps, 0)
        super().__init__(params, lr, weight_decay)
        positive_in(self.eps, self.parameters)

    def check_settings(self) -> None:
        super().check_settings()
        _pair_of_betas(self.betas)
        at_least("eps", self.eps, 0)

    def textbook_update(self, w: Array, g: Array, m: Array, v: Array) -> tuple[Array, Array, Array]:
        """Return the new w, m and v by the equations at the top of this file. `update` computes them in place."""
        (beta1, beta2), t = self.betas, self.steps
        g = g + self.weight_decay * w
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        m_hat = m / (1 - beta1**t)
        v_hat = v / (1 - beta2**t)
        w = w - self.lr * m_hat / (backend.array_module(v).sqrt(v_hat) + self.eps)
        return w, m, v

    @takes_lists
    def update(self, w: Array, g: Array, m: Array, v: Array) -> None:
        kernels.adam(w, g, m, v, self.steps, self.lr, self.betas, self.eps, weight_decay=self.weight_decay)


def _pair_of_betas(betas: Any) -> tuple[float, float]:
    """Return `betas` as two floats in [0, 1), or raise."""
    if not isinstance(betas, (tuple, list)):
        raise TypeError(f"betas must be a pair of numbers, got {betas!r}")
    if len(betas) != 2:
        raise ValueError(f"betas must be two numbers, got {betas!r}")
    return at_least("betas[0]", betas[0], 0, 1), at_least("betas[1]", betas[1], 0, 1)
