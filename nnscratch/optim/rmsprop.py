"""RMSprop: each gradient is divided by its running root mean square.

    g = g + weight_decay w                  only with weight decay
    v = alpha v + (1 - alpha) g^2           running mean of the square
    w = w - lr g / (sqrt(v) + eps)

    centered        a = alpha a + (1 - alpha) g                     running mean of the gradient
                    sqrt(max(v - a^2, 0)), the standard deviation, replaces sqrt(v); because of rounding, v - a^2 can be
                    slightly below zero
    momentum        b = momentum b + g / (sqrt(v) + eps)
                    w = w - lr b

RMSprop differs from Adagrad in v. Adagrad sums all squares. RMSprop takes a running mean, which forgets old squares. v,
a and b start at zero.

References: Tieleman and Hinton (2012), "Lecture 6.5: RMSprop", Coursera,
https://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf; centered: Graves (2013), "Generating sequences
with recurrent neural networks", arXiv:1308.0850.
"""

from __future__ import annotations

from collections.abc import Iterable

from .. import backend
from ..backend import Array
from ..checks import at_least, flag
from ..parameter import Parameter
from .kernels import RMSPROP_STEPS
from .optimizer import Optimizer, positive_in, takes_lists


class RMSprop(Optimizer):
    """RMSprop, root mean square propagation.

    Parameters
    ----------
    params : iterable of Parameter
    lr : float
        The learning rate, 0 or more.
    alpha : float, 0 <= alpha < 1
        The fraction of the running means that each step keeps.
    eps : float
        A small number that keeps the denominator above zero.
    weight_decay : float
        0 or more. Adds ``weight_decay * w`` to the gradient.
    momentum : float, 0 <= momentum < 1
        The fraction of b that each step keeps.
    centered : bool
        Divide by the gradient's standard deviation in place of its root mean square.

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

    squares = ("square_avg",)

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
        self.momentum, self.centered = at_least("momentum", momentum, 0, 1), flag("centered", centered)
        self.moments = self._moments()
        super().__init__(params, lr, weight_decay)
        positive_in(self.eps, self.parameters)

    def _moments(self) -> tuple[str, ...]:
        """Return PyTorch's names of v, a and b. Leave out the arrays that these settings do not need."""
        centered, momentum = ("grad_avg",) * self.centered, ("momentum_buffer",) * (self.momentum > 0)
        return ("square_avg", *centered, *momentum)

    def check_settings(self) -> None:
        super().check_settings()
        at_least("alpha", self.alpha, 0, 1)
        at_least("momentum", self.momentum, 0, 1)
        at_least("eps", self.eps, 0)
        flag("centered", self.centered)
        if self._moments() != self.moments:
            raise ValueError("centered cannot change, and momentum cannot change to 0 or from 0: create a new RMSprop")

    def textbook_update(self, w: Array, g: Array, v: Array, *a_and_b: Array) -> tuple[Array, ...]:
        """Return the new w and v (and a and b if used) by the equations at the top. `update` computes them in place."""
        g = g + self.weight_decay * w
        v = self.alpha * v + (1 - self.alpha) * g**2
        moments, variance = [v], v
        if self.centered:
            a = self.alpha * a_and_b[0] + (1 - self.alpha) * g
            moments, variance = [*moments, a], (v - a**2).clip(min=0)
        step = g / (backend.array_module(v).sqrt(variance) + self.eps)
        if self.momentum:
            step = b = self.momentum * a_and_b[-1] + step
            moments = [*moments, b]
        w = w - self.lr * step
        return w, *moments

    @takes_lists
    def update(self, w: Array, g: Array, v: Array, *a_and_b: Array) -> None:
        step = RMSPROP_STEPS[self.centered, self.momentum > 0]
        step(g, self.lr, self.alpha, 1 - self.alpha, self.eps, self.weight_decay, self.momentum, w, v, *a_and_b)
