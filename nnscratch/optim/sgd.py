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

from ..backend import Array
from ..module import Parameter
from .optimizer import Optimizer, at_least


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

    def update(self, w: Array, g: Array, v: Array | None = None) -> None:
        if self.weight_decay:
            g = g + self.weight_decay * w
        if v is not None:
            v *= self.momentum
            v += g  # from zero, the first step makes it g
            g = g + self.momentum * v if self.nesterov else v
        w -= self.lr * g
