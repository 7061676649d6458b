"""LayerNorm: every row is brought to mean 0 and variance 1, then scaled and shifted as learned.

    shapes      x, y (..., D)    w, b (D,)    mu, r (..., 1): one for each row

    forward     mu = mean(x)    r = 1 / sqrt(mean((x - mu)^2) + eps)
                n  = (x - mu) r
                y  = w n + b

    backward    db = sum over rows  dy
                dw = sum over rows  dy n
                dn = dy w
                dx = r (dn - mean(dn) - n mean(dn n))

Means are over the D features of a row. The two means in dx are there because mu and r depend on every x of the row:
what is left of dn is the part that changes neither the row's mean nor its variance; no other part can reach y.
Kept for backward are n and r: x is not needed again.

Reference: Ba, Kiros and Hinton (2016), "Layer normalization".
"""

from __future__ import annotations

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import check_floats, check_gradient, not_negative, positive_int
from ..module import Module
from ..parameter import Parameter


class LayerNorm(Module):
    """Normalise over the last axis.

    Parameters
    ----------
    normalized_shape : int
        D, the length of the last axis.
    eps : float
        Added to the variance: keeps a constant row from a division by zero.

    Attributes
    ----------
    weight, bias : Parameter, shape (normalized_shape,)
        w, which starts from ones, and b, which starts from zeros.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> layer = nn.LayerNorm(4)
    >>> x = np.array([[1.0, 3.0, 1.0, 3.0], [0.0, 0.0, 0.0, 400.0]], dtype=np.float32)
    >>> print(layer(x).round(3))
    [[-1.     1.    -1.     1.   ]
     [-0.577 -0.577 -0.577  1.732]]
    """

    arguments = ("normalized_shape", "eps")

    def __init__(self, normalized_shape: int, eps: float = 1e-5):
        self.normalized_shape = positive_int("normalized_shape", normalized_shape)
        self.eps = not_negative("eps", eps)
        self.weight = Parameter(np.ones(self.normalized_shape, dtype=np.float32))
        self.bias = Parameter(np.zeros(self.normalized_shape, dtype=np.float32))

    def forward(self, x: Array) -> Array:
        check_rows(self, x)
        n = x - mean_of_rows(x)
        r = 1 / backend.array_module(x).sqrt(mean_of_rows(n * n) + self.eps)  # (..., 1)
        n *= r
        self.save_for_backward(n, r)
        y = n * self.weight.data
        y += self.bias.data
        return y

    def backward(self, dy: Array) -> Array:
        n, r = self.saved()
        check_gradient(self, dy, n.shape, n.dtype)
        D = self.normalized_shape
        self.bias.grad += dy.reshape(-1, D).sum(axis=0)
        dyn = dy * n
        self.weight.grad += dyn.reshape(-1, D).sum(axis=0)
        dyn *= self.weight.data  # now dn n
        dn = dy * self.weight.data
        dx = dn - mean_of_rows(dn)
        dx -= n * mean_of_rows(dyn)
        dx *= r
        return dx


def mean_of_rows(x: Array) -> Array:
    """``x.mean(axis=-1, keepdims=True)``, as a product with a vector: BLAS adds up short rows four times as fast.

    A vector of 1/D would be rounded, and the mean of equal numbers be another number, which LayerNorm makes large: it
    divides by their deviation, next to nothing. A power of two, P, rounds nothing, and D/P is exact too.
    """
    D = x.shape[-1]
    P = 2 ** D.bit_length()
    return (x @ backend.array_module(x).full(D, 1 / P, dtype=x.dtype))[..., None] / (D / P)


def check_rows(owner: LayerNorm | Module, x: Array) -> None:
    """Raise unless `x` has rows of the length that `owner` normalises."""
    check_floats(owner, "x", x, like=owner.weight)
    if x.ndim == 0 or x.shape[-1] != owner.normalized_shape:
        raise ValueError(
            f"{type(owner).__name__}({owner.normalized_shape}) got x of shape {x.shape}; "
            f"its last axis must be {owner.normalized_shape}"
        )
