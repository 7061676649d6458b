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

import numpy as np

from .. import backend
from ..backend import Array
from ..parameter import Parameter
from .optimizer import Optimizer, at_least, takes_lists


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

    @takes_lists
    def update(self, w: Array, g: Array, m: Array, v: Array) -> None:
        self._step(1.0, w, g, m, v)

    def _step(self, keep: float, w: Array, g: Array, m: Array, v: Array) -> None:
        """Adam's step from keep * w, which is w for Adam itself."""
        beta1, beta2 = self.betas
        bias1, bias2 = 1 - beta1**self.steps, 1 - beta2**self.steps
        # lr m^ / (sqrt(v^) + eps), with the two corrections taken out of the loop over elements (the paper, section 2)
        step, eps = self.lr * math.sqrt(bias2) / bias1, self.eps * math.sqrt(bias2)
        adam_step(g, beta1, 1 - beta1, beta2, 1 - beta2, eps, step, self.weight_decay, keep, w, m, v)


@backend.fused(
    "T g, T beta1, T one_less_beta1, T beta2, T one_less_beta2, T eps, T step, T weight_decay, T keep",
    "T w, T m, T v",
    """
    w *= keep;
    const T d = g + weight_decay * w;
    m = beta1 * m + one_less_beta1 * d;
    v = beta2 * v + one_less_beta2 * (d * d);
    w -= step * (m / (sqrt(v) + eps));
    """,
)
def adam_step(
    g: Array,
    beta1: float,
    one_less_beta1: float,
    beta2: float,
    one_less_beta2: float,
    eps: float,
    step: float,
    weight_decay: float,
    keep: float,
    w: Array,
    m: Array,
    v: Array,
) -> None:
    """Change w, m and v by the gradient g."""
    scratch = np.empty_like(w)
    if keep != 1:
        w *= keep
    if weight_decay:
        g = g + weight_decay * w
    m *= beta1
    m += np.multiply(g, one_less_beta1, out=scratch)
    v *= beta2
    np.multiply(g, g, out=scratch)
    scratch *= one_less_beta2
    v += scratch
    np.sqrt(v, out=scratch)
    scratch += eps
    np.divide(m, scratch, out=scratch)
    scratch *= step
    w -= scratch
