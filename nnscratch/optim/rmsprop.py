"""RMSprop: every gradient is divided by the running root mean square of its own size.

    v = alpha v + (1 - alpha) g^2           running mean of the square
    w = w - lr g / (sqrt(v) + eps)

    centered        a = alpha a + (1 - alpha) g,  and sqrt(v - a^2), the standard deviation, in the place of sqrt(v)
    momentum        b = momentum b + g / (sqrt(v) + eps),  w = w - lr b

Adagrad with a memory that fades. Weight decay, if any, is added to the gradient first: g = g + weight_decay w.

References: Tieleman and Hinton (2012), "Lecture 6.5: RMSprop", Coursera; centered: Graves (2013), "Generating
sequences with recurrent neural networks".
"""

from __future__ import annotations

from collections.abc import Iterable

from .. import backend
from ..backend import Array
from ..module import Parameter
from .optimizer import Optimizer, at_least


class RMSprop(Optimizer):
    """Root mean square propagation.

    Parameters
    ----------
    params : iterable of Parameter
    lr : float
    alpha : float, 0 <= alpha < 1
        How much of the running means a step keeps.
    eps : float
    weight_decay : float
    momentum : float, 0 <= momentum < 1
    centered : bool
        Divide by the standard deviation of the gradient.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> w = nn.Parameter(np.array([0.0, 0.0]))
    >>> optimizer = nn.optim.RMSprop([w], lr=0.1)
    >>> w.grad[:] = 1000.0, -0.001
    >>> optimizer.step()                        # the same step for both: 0.1 / sqrt(1 - 0.99)
    >>> print(w.data.round(3))
    [-1.  1.]
    """

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
    ):
        self.alpha, self.eps = at_least("alpha", alpha, 0, 1), at_least("eps", eps, 0)
        self.weight_decay = at_least("weight_decay", weight_decay, 0)
        self.momentum, self.centered = at_least("momentum", momentum, 0, 1), bool(centered)
        self.moments = (  # PyTorch's names for v, a and b
            "square_avg",
            *(("grad_avg",) if self.centered else ()),
            *(("momentum_buffer",) if self.momentum else ()),
        )
        super().__init__(params, lr)

    def update(self, w: Array, g: Array, v: Array, *a_and_b: Array) -> None:
        if self.weight_decay:
            g = g + self.weight_decay * w
        v *= self.alpha
        v += (1 - self.alpha) * g * g
        spread = v
        if self.centered:
            a = a_and_b[0]
            a *= self.alpha
            a += (1 - self.alpha) * g
            spread = v - a * a
        step = g / (backend.array_module(w).sqrt(spread) + self.eps)
        if self.momentum:
            b = a_and_b[-1]
            b *= self.momentum
            b += step
            step = b
        w -= self.lr * step
