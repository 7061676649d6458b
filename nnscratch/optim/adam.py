"""Adam: every weight gets a step size of its own, from the running size of its gradient.

    m = beta1 m + (1 - beta1) g             running mean of the gradient
    v = beta2 v + (1 - beta2) g^2           running mean of its square
    m^ = m / (1 - beta1^t)                  both start at zero: undo that bias
    v^ = v / (1 - beta2^t)
    w = w - lr m^ / (sqrt(v^) + eps)

Weight decay, if any, is added to the gradient first: g = g + weight_decay w.

Reference: Kingma and Ba (2015), "Adam: a method for stochastic optimization".
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from .. import backend
from ..backend import Array
from ..module import Parameter
from .optimizer import Optimizer, at_least


class Adam(Optimizer):
    """Adaptive moment estimation.

    Parameters
    ----------
    params : iterable of Parameter
    lr : float
    betas : (float, float), each in [0, 1)
    eps : float
    weight_decay : float

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

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ):
        if not isinstance(betas, (tuple, list)):
            raise TypeError(f"betas must be a pair of numbers, got {betas!r}")
        self.betas = tuple(at_least(f"betas[{k}]", beta, 0, 1) for k, beta in enumerate(betas))
        if len(self.betas) != 2:
            raise ValueError(f"betas must be two numbers, got {betas!r}")
        self.eps = at_least("eps", eps, 0)
        self.weight_decay = at_least("weight_decay", weight_decay, 0)
        super().__init__(params, lr)

    def update(self, w: Array, g: Array, m: Array, v: Array) -> None:
        xp = backend.array_module(w)
        beta1, beta2 = self.betas
        bias1, bias2 = 1 - beta1**self.steps, 1 - beta2**self.steps
        scratch = xp.empty_like(w)
        if self.weight_decay:
            g = g + self.weight_decay * w
        m *= beta1
        m += xp.multiply(g, 1 - beta1, out=scratch)
        v *= beta2
        xp.multiply(g, g, out=scratch)
        scratch *= 1 - beta2
        v += scratch
        # lr m^ / (sqrt(v^) + eps), with the two corrections taken out of the loop over elements
        xp.sqrt(v, out=scratch)
        scratch *= 1 / math.sqrt(bias2)
        scratch += self.eps
        xp.divide(m, scratch, out=scratch)
        scratch *= self.lr / bias1
        w -= scratch
