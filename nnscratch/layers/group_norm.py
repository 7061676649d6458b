"""GroupNorm: bring every group of channels to mean 0 and variance 1, then scale and shift each channel.

    shapes      x, y (N, C, ...): (N, C), (N, C, L) or (N, C, H, W)    w, b (C,)
                c, n (N, G, M): G groups, each with the M = C/G * L or C/G * H W elements of its channels
                mu, r (N, G, 1)

    forward     mu = mean(x)
                c  = x - mu
                r  = 1 / sqrt(mean(c^2) + eps)
                n  = c r
                y  = n w + b

    backward    db = sum over all axes except the channels  dy
                dw = sum over all axes except the channels  dy n
                dn = dy w
                dx = r (dn - mean(dn) - n mean(dn n))
    per example db_n and dw_n are the sums over the axes of example n

Every mean is over the M elements of one group of one example. So the output for an example does not depend on the rest
of the batch. There are no running averages, and the results in training and eval() mode are equal. The equations are
those of LayerNorm. With G = 1, the mean is over all channels and pixels of an example. With G = C, the mean is over the
pixels of one channel. This is called instance normalisation.

w and b belong to channels, and n belongs to groups. So the code reshapes between (N, C, ...) and (N, G, M).

Reference: Wu and He (2018), "Group normalization", arXiv:1803.08494.
"""

from __future__ import annotations

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import check_floats, check_gradient, not_negative, positive_int
from ..module import Module
from ..parameter import Parameter
from ..per_example import Each
from .fast_products import channel_sums, row_means, squares
from .kernels.group_norm import NORMALIZE, NORMALIZE_BACKWARD
from .layer_norm import empty_rows


class GroupNorm(Module):
    """Group normalisation: over each group of channels of one example.

    Parameters
    ----------
    num_groups : int
        G. It must divide `num_channels`.
    num_channels : int
        C, the length of the second axis of x.
    eps : float
        Added to the variance. It prevents a division by zero if all elements of a group are equal.

    Attributes
    ----------
    weight, bias : Parameter, shape (num_channels,)
        w, initialised to ones, and b, initialised to zeros.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> layer = nn.GroupNorm(2, 4)                    # two groups of two channels
    >>> x = np.array([[1.0, 3.0, 10.0, 30.0]], dtype=np.float32)
    >>> print(layer(x).round(3))
    [[-1.  1. -1.  1.]]
    """

    keeps_examples = True
    arguments = ("num_groups", "num_channels", "eps")

    def __init__(self, num_groups: int, num_channels: int, eps: float = 1e-5):
        self.num_groups = positive_int("num_groups", num_groups)
        self.num_channels = positive_int("num_channels", num_channels)
        if self.num_channels % self.num_groups:
            raise ValueError(f"num_channels must be divisible by num_groups, got {num_channels} and {num_groups}")
        self.eps = not_negative("eps", eps)
        self.weight = Parameter(np.ones(self.num_channels, dtype=np.float32))
        self.bias = Parameter(np.zeros(self.num_channels, dtype=np.float32))

    def forward(self, x: Array) -> Array:
        self._check(x)
        column, x_g = self._column(x.ndim), x.reshape(len(x), self.num_groups, -1)  # (N, G, M)
        n_g, r = empty_rows(x_g), empty_rows(x_g[..., :1])
        normalize(x_g, self.eps, n_g, r)
        n = n_g.reshape(x.shape)
        self.save_for_backward(n, r)
        return n * self.weight.data.reshape(column) + self.bias.data.reshape(column)

    def backward(self, dy: Array) -> Array:
        n, r = self.saved()
        check_gradient(self, dy, n.shape, n.dtype)
        groups, column = (*r.shape[:2], -1), self._column(n.ndim)
        self.bias.grad += channel_sums(dy)
        self.weight.grad += channel_sums(dy * n)
        if self.weight.examples is not None:
            pixels = tuple(range(2, n.ndim))
            self.weight.keep(Each((dy * n).sum(axis=pixels)))
            self.bias.keep(Each(dy.sum(axis=pixels)))
        dn = (dy * self.weight.data.reshape(column)).reshape(groups)
        dx = empty_rows(dn)  # (N, G, M)
        normalize_backward(dn, n.reshape(groups), r, dx)
        return dx.reshape(dy.shape)

    @staticmethod
    def _column(ndim: int) -> tuple[int, ...]:
        """Return the shape to which forward and backward reshape the weight and the bias: (-1, 1, 1) for images.

        In this shape, they broadcast along the channel axis.
        """
        return (-1,) + (1,) * (ndim - 2)

    def _check(self, x: Array) -> None:
        check_floats(self, "x", x, like=self.weight)
        title, C = f"GroupNorm({self.num_groups}, {self.num_channels})", self.num_channels
        if x.ndim < 2 or x.shape[1] != C:
            raise ValueError(f"{title} needs x of shape (N, {C}), (N, {C}, L) or (N, {C}, H, W), got {x.shape}")
        if 0 in x.shape[2:]:
            raise ValueError(f"{title} got x of shape {x.shape}: the mean of no elements is undefined")


@backend.fused_rows(*NORMALIZE)
def normalize(x: Array, eps: float, n: Array, r: Array) -> None:
    """Write n and r for `x`, shape (N, G, M). On a GPU this is one kernel."""
    c = np.subtract(x, row_means(x), out=n)  # c uses the memory of n
    np.divide(1, np.sqrt(row_means(squares(c)) + eps), out=r)
    np.multiply(c, r, out=n)


@backend.fused_rows(*NORMALIZE_BACKWARD)
def normalize_backward(dn: Array, n: Array, r: Array, dx: Array) -> None:
    """Write dx. On a GPU this is one kernel."""
    np.subtract(dn, row_means(dn), out=dx)
    dx -= n * row_means(dn * n)
    dx *= r
