"""RMSNorm: divide every row by its root mean square, then scale it by learned amounts.

    shapes      x, y, n (..., D)    w (D,)    r (..., 1)

    forward     r  = 1 / sqrt(mean(x^2) + eps)
                n  = x r
                y  = n w

    backward    dw = sum over rows  dy n
                dn = dy w
                dx = r (dn - n mean(dn n))
    per example dw_n is the sum over the rows of example n

This is LayerNorm without the mean. LayerNorm normalises the mean and the scale of a row. Training needs the normalised
scale, but normalising the mean has little effect. RMSNorm needs no pass over the data for the mean. Most large language
models of today use RMSNorm.

Reference: Zhang and Sennrich (2019), "Root mean square layer normalization", arXiv:1910.07467.
"""

from __future__ import annotations

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import check_gradient, not_negative, positive_int
from ..module import Module
from ..parameter import Parameter
from ..per_example import Each
from .fast_products import column_sums, row_means
from .kernels.rms_norm import RMS_NORM_BACKWARD, RMS_NORM_FORWARD
from .layer_norm import check_last_axis, empty_rows, mean_squares


class RMSNorm(Module):
    """Root mean square normalisation over the last axis.

    Parameters
    ----------
    normalized_shape : int
        D, the length of the last axis.
    eps : float, optional
        Added to the mean square. The default is the machine epsilon of x's dtype (1.2e-7 for float32), as in PyTorch.

    Attributes
    ----------
    weight : Parameter, shape (normalized_shape,)
        w, initialised to ones.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> layer = nn.RMSNorm(2)
    >>> print(layer(np.array([[1.0, 7.0], [-30.0, 40.0]], dtype=np.float32)).round(3))
    [[ 0.2    1.4  ]
     [-0.849  1.131]]
    """

    keeps_examples = True
    arguments = ("normalized_shape", "eps")

    def __init__(self, normalized_shape: int, eps: float | None = None):
        self.normalized_shape = positive_int("normalized_shape", normalized_shape)
        self.eps = None if eps is None else not_negative("eps", eps)
        self.weight = Parameter(np.ones(self.normalized_shape, dtype=np.float32))

    def forward(self, x: Array) -> Array:
        check_last_axis(self, x, self.normalized_shape, like=self.weight)
        eps = float(np.finfo(x.dtype).eps) if self.eps is None else self.eps
        y, n, r = empty_rows(x), empty_rows(x), empty_rows(x[..., :1])
        rms_norm_forward(x, self.weight.data, eps, y, n, r)
        self.save_for_backward(n, r)
        return y

    def backward(self, dy: Array) -> Array:
        n, r = self.saved()
        check_gradient(self, dy, n.shape, n.dtype)
        self.weight.grad += column_sums((dy * n).reshape(-1, self.normalized_shape))
        if self.weight.examples is not None:
            self.weight.keep(Each((dy * n).reshape(len(dy), -1, self.normalized_shape).sum(axis=1)))
        dx = empty_rows(dy)
        rms_norm_backward(dy, self.weight.data, n, r, dx)
        return dx


@backend.fused_rows(*RMS_NORM_FORWARD)
def rms_norm_forward(x: Array, w: Array, eps: float, y: Array, n: Array, r: Array) -> None:
    """Write the results of the forward equations into `y`, `n` and `r`. On a GPU this is one kernel."""
    np.divide(1, np.sqrt(mean_squares(x, temp=y) + eps), out=r)
    np.multiply(x, r, out=n)
    np.multiply(n, w, out=y)


@backend.fused_rows(*RMS_NORM_BACKWARD)
def rms_norm_backward(dy: Array, w: Array, n: Array, r: Array, dx: Array) -> None:
    """Write dx. On a GPU this is one kernel."""
    dn = dy * w
    np.subtract(dn, n * row_means(dn * n), out=dx)
    dx *= r
