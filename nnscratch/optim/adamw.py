"""AdamW: Adam with weight decay that is not part of the gradient.

    w = w - lr weight_decay w               first the decay, with the same factor for every weight
    m, v, m^, v^ as in Adam, from the plain gradient g
    w = w - lr m^ / (sqrt(v^) + eps)

Adam adds the decay to g, so the division by sqrt(v^) applies to the decay too: weights with large gradients hardly
decay. AdamW decays every weight by the same factor. (For SGD the two forms are equal.)

Reference: Loshchilov and Hutter (2019), "Decoupled weight decay regularization", arXiv:1711.05101.
"""

from __future__ import annotations

from collections.abc import Iterable

from .. import backend
from ..backend import Array
from ..parameter import Parameter
from . import kernels
from .adam import Adam
from .optimizer import takes_lists


class AdamW(Adam):
    """Adam with decoupled weight decay.

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
        0 or more. Each step subtracts ``lr * weight_decay * w`` from w.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> w = nn.Parameter(np.array([1.0, -1.0]))
    >>> optimizer = nn.optim.AdamW([w], lr=0.1, weight_decay=0.5)
    >>> optimizer.step()                        # no gradient: only the decay, by 0.1 * 0.5
    >>> print(w.data)
    [ 0.95 -0.95]
    """

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ):
        super().__init__(params, lr, betas, eps, weight_decay)

    def textbook_update(self, w: Array, g: Array, m: Array, v: Array) -> tuple[Array, Array, Array]:
        """Return the new w, m and v by the equations at the top of this file. `update` computes them in place."""
        (beta1, beta2), t = self.betas, self.steps
        w = w - self.lr * self.weight_decay * w
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        m_hat = m / (1 - beta1**t)
        v_hat = v / (1 - beta2**t)
        w = w - self.lr * m_hat / (backend.array_module(v).sqrt(v_hat) + self.eps)
        return w, m, v

    @takes_lists
    def update(self, w: Array, g: Array, m: Array, v: Array) -> None:
        kernels.adam(w, g, m, v, self.steps, self.lr, self.betas, self.eps, decoupled_weight_decay=self.weight_decay)
