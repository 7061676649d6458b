"""SGD: gradient descent, with momentum.

    plain           w = w - lr g
    weight decay    g = g + weight_decay w                     the gradient of weight_decay/2 |w|^2, added to the loss
    momentum        v = momentum v + g       (v = g at the first step)       w = w - lr v
    Nesterov        w = w - lr (g + momentum v)                look where the momentum leads, then step

References
----------
Polyak (1964) and Nesterov (1983), in the form of Sutskever, Martens, Dahl and Hinton (2013), "On the importance of
initialization and momentum in deep learning", as PyTorch has it.
"""

from __future__ import annotations

from collections.abc import Iterable

from .. import backend
from ..backend import Array
from ..parameter import Parameter
from .optimizer import Optimizer, at_least, takes_lists


class SGD(Optimizer):
    """(Stochastic) gradient descent.

    Parameters
    ----------
    params : iterable of Parameter
    lr : float
    momentum : float, 0 <= momentum < 1
    nesterov : bool
        Needs momentum.
    weight_decay : float

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> w = nn.Parameter(np.array([1.0]))
    >>> optimizer = nn.optim.SGD([w], lr=0.1)
    >>> w.grad[:] = 2 * w.data                  # the gradient of w^2
    >>> optimizer.step()
    >>> print(w.data)
    [0.8]
    """

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: float,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ):
        self.momentum = at_least("momentum", momentum, 0, 1)
        self.weight_decay = at_least("weight_decay", weight_decay, 0)
        if nesterov and not momentum:
            raise ValueError("nesterov needs a momentum above 0")
        self.nesterov = nesterov
        self.moments = ("velocity",) if momentum else ()
        self.rests_at_zero = not momentum and not self.weight_decay
        super().__init__(params, lr)

    @takes_lists
    def update(self, w: Array, g: Array, v: Array | None = None) -> None:
        if v is None:
            sgd_step(g, self.lr, self.weight_decay, w)
        else:
            momentum_step(g, self.lr, self.weight_decay, self.momentum, float(self.nesterov), w, v)


@backend.fused("T g, T lr, T weight_decay", "T w", "w -= lr * (g + weight_decay * w);")
def sgd_step(g: Array, lr: float, weight_decay: float, w: Array) -> None:
    """Change w by the gradient g."""
    if weight_decay:
        g = g + weight_decay * w
    w -= lr * g


@backend.fused(
    "T g, T lr, T weight_decay, T momentum, T nesterov",
    "T w, T v",
    """
    const T d = g + weight_decay * w;
    v = momentum * v + d;
    if (nesterov != 0) w -= lr * (d + momentum * v); else w -= lr * v;
    """,
)
def momentum_step(
    g: Array, lr: float, weight_decay: float, momentum: float, nesterov: float, w: Array, v: Array
) -> None:
    """Change w and v by the gradient g; nesterov is 1 or 0."""
    if weight_decay:
        g = g + weight_decay * w
    v *= momentum
    v += g  # from zero, the first step makes it g
    w -= lr * (g + momentum * v if nesterov else v)
