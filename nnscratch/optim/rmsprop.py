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

import itertools
from collections.abc import Callable, Iterable

import numpy as np

from .. import backend
from ..backend import Array
from ..parameter import Parameter
from .optimizer import Optimizer, at_least, takes_lists


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

    @takes_lists
    def update(self, w: Array, g: Array, v: Array, *a_and_b: Array) -> None:
        step = STEPS[self.centered, self.momentum > 0]
        step(g, self.lr, self.alpha, 1 - self.alpha, self.eps, self.weight_decay, self.momentum, w, v, *a_and_b)


def kind_of_step(centered: bool, momentum: bool) -> Callable[..., None]:
    """The function for one of the four kinds, each with arrays of its own: w, v, and perhaps a, b."""

    @backend.fused(
        "T g, T lr, T alpha, T one_less_alpha, T eps, T weight_decay, T momentum",
        "T w, T v" + ", T a" * centered + ", T b" * momentum,
        f"""
        const T d = g + weight_decay * w;
        v = alpha * v + one_less_alpha * d * d;
        {"a = alpha * a + one_less_alpha * d;" * centered}
        T step = d / (sqrt({"v - a * a" if centered else "v"}) + eps);
        {"b = momentum * b + step; step = b;" * momentum}
        w -= lr * step;
        """,
    )
    def rmsprop_step(
        g: Array,
        lr: float,
        alpha: float,
        one_less_alpha: float,
        eps: float,
        weight_decay: float,
        momentum: float,
        w: Array,
        v: Array,
        *a_and_b: Array,
    ) -> None:
        """Change w, v, a and b by the gradient g."""
        if weight_decay:
            g = g + weight_decay * w
        v *= alpha
        v += one_less_alpha * g * g
        spread = v
        if centered:
            a = a_and_b[0]
            a *= alpha
            a += one_less_alpha * g
            spread = v - a * a
        step = g / (np.sqrt(spread) + eps)
        if momentum:
            b = a_and_b[-1]
            b *= momentum
            b += step
            step = b
        w -= lr * step

    return rmsprop_step


STEPS = {kind: kind_of_step(*kind) for kind in itertools.product((False, True), repeat=2)}
