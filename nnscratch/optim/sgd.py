"""SGD: gradient descent, with momentum.

    plain           w = w - lr g
    weight decay    g = g + weight_decay w                     the gradient of weight_decay/2 |w|^2, added to the loss
    momentum        v = momentum v + g                         v starts at zero, so v = g at the first step
                    w = w - lr v
    Nesterov        w = w - lr (g + momentum v)                in place of the line above

References
----------
Polyak (1964), doi:10.1016/0041-5553(64)90137-5, and Nesterov (1983), in the form that PyTorch uses: Sutskever, Martens,
Dahl and Hinton (2013), "On the importance of initialization and momentum in deep learning",
https://proceedings.mlr.press/v28/sutskever13.html.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..backend import Array
from ..checks import at_least, flag
from ..parameter import Parameter
from .kernels import momentum_step, sgd_step
from .optimizer import Optimizer, takes_lists


class SGD(Optimizer):
    """Stochastic gradient descent.

    Parameters
    ----------
    params : iterable of Parameter
    lr : float
        The learning rate, 0 or more.
    momentum : float, 0 <= momentum < 1
        The fraction of v that each step keeps.
    nesterov : bool
        Use Nesterov's form of momentum, which needs ``momentum > 0``.
    weight_decay : float
        0 or more. Adds ``weight_decay * w`` to the gradient.

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
        if nesterov and not momentum:
            raise ValueError("nesterov needs a momentum above 0")
        self.nesterov = flag("nesterov", nesterov)
        self.moments = ("velocity",) if momentum else ()
        super().__init__(params, lr, weight_decay)

    def check_settings(self) -> None:
        super().check_settings()
        at_least("momentum", self.momentum, 0, 1)
        flag("nesterov", self.nesterov)
        if (self.momentum > 0) != bool(self.moments):
            raise ValueError(
                "momentum cannot change to 0 or from 0: SGD keeps a velocity only if momentum starts above 0"
            )

    @property
    def rests_at_zero(self) -> bool:
        return not self.momentum and not self.weight_decay

    def textbook_update(self, w: Array, g: Array, v: Array | None = None) -> tuple[Array, ...]:
        """Return the new w, and the new v if used, by the equations at the top. `update` computes them in place."""
        g = g + self.weight_decay * w
        if v is None:
            return (w - self.lr * g,)
        v = self.momentum * v + g
        w = w - self.lr * (g + self.momentum * v if self.nesterov else v)
        return w, v

    @takes_lists
    def update(self, w: Array, g: Array, v: Array | None = None) -> None:
        if v is None:
            sgd_step(g, self.lr, self.weight_decay, w)
        else:
            momentum_step(g, self.lr, self.weight_decay, self.momentum, float(self.nesterov), w, v)
