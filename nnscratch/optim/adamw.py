"""AdamW: Adam with the weight decay taken out of the gradient.

    w = w - lr weight_decay w               first the decay, the same for every weight
    m, v, m^, v^ as in Adam, from the plain gradient g
    w = w - lr m^ / (sqrt(v^) + eps)

In Adam the decay is added to g, and then divided by sqrt(v^) with it: weights with large gradients are hardly decayed
at all. For SGD the two ways are the same; here they are not, and this one is what is meant.

Reference: Loshchilov and Hutter (2019), "Decoupled weight decay regularization".
"""

from __future__ import annotations

from collections.abc import Iterable

from ..backend import Array
from ..parameter import Parameter
from .adam import Adam
from .optimizer import at_least, takes_lists


class AdamW(Adam):
    """Adam with decoupled weight decay.

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
        self.decoupled_decay = at_least("weight_decay", weight_decay, 0)
        super().__init__(params, lr, betas, eps, weight_decay=0)  # none in the gradient

    @takes_lists
    def update(self, w: Array, g: Array, m: Array, v: Array) -> None:
        self._step(1 - self.lr * self.decoupled_decay, w, g, m, v)
