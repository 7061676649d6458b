"""LayerNorm: bring every row to mean 0 and variance 1, then scale and shift it by learned amounts.

    shapes      x, y, c, n (..., D)    w, b (D,)    mu, r (..., 1)

    forward     mu = mean(x)
                c  = x - mu
                r  = 1 / sqrt(mean(c^2) + eps)
                n  = c r
                y  = n w + b

    backward    db = sum over rows  dy
                dw = sum over rows  dy n
                dn = dy w
                dx = r (dn - mean(dn) - n mean(dn n))
    per example dw_n and db_n are the sums over the rows of example n

A row is the last axis, and every mean is over its D elements. mu and r depend on all elements of the row, so dx
contains two means. The first removes the part of dn that is the same for all elements, since adding a constant to a row
does not change n. The second removes the part proportional to n, since scaling a row does not change n either.

Backward needs n and r only, so x is not kept.

Reference: Ba, Kiros and Hinton (2016), "Layer normalization", arXiv:1607.06450.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import check_floats, check_gradient, flag, not_negative, positive_int
from ..module import Module
from ..parameter import Parameter
from ..per_example import Each
from .fast_products import column_sums, row_means, squares
from .kernels.layer_norm import LAYER_NORM_BACKWARD, LAYER_NORM_FORWARD


class LayerNorm(Module):
    """Layer normalisation over the last axis.

    Parameters
    ----------
    normalized_shape : int
        D, the length of the last axis.
    eps : float
        Added to the variance. It prevents a division by zero if all elements of a row are equal.
    bias : bool
        True to add b.

    Attributes
    ----------
    weight : Parameter, shape (normalized_shape,)
        w, initialised to ones.
    bias : Parameter, shape (normalized_shape,), or None
        b, initialised to zeros.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> layer = nn.LayerNorm(4)
    >>> x = np.array([[1.0, 3.0, 1.0, 3.0], [0.0, 0.0, 0.0, 400.0]], dtype=np.float32)
    >>> print(layer(x).round(3))
    [[-1.     1.    -1.     1.   ]
     [-0.577 -0.577 -0.577  1.732]]
    """

    keeps_examples = True

    def __init__(self, normalized_shape: int, eps: float = 1e-5, bias: bool = True):
        self.normalized_shape = positive_int("normalized_shape", normalized_shape)
        self.eps = not_negative("eps", eps)
        self.weight = Parameter(np.ones(self.normalized_shape, dtype=np.float32))
        self.bias = Parameter(np.zeros(self.normalized_shape, dtype=np.float32)) if flag("bias", bias) else None

    def config(self) -> dict[str, Any]:
        return {"normalized_shape": self.normalized_shape, "eps": self.eps, "bias": self.bias is not None}

    def forward(self, x: Array) -> Array:
        check_last_axis(self, x, self.normalized_shape, like=self.weight)
        y, n, r = empty_rows(x), empty_rows(x), empty_rows(x[..., :1])
        layer_norm_forward(x, self.weight.data, None if self.bias is None else self.bias.data, self.eps, y, n, r)
        self.save_for_backward(n, r)
        return y

    def backward(self, dy: Array) -> Array:
        n, r = self.saved()
        check_gradient(self, dy, n.shape, n.dtype)
        D = self.normalized_shape
        if self.bias is not None:
            self.bias.grad += column_sums(dy.reshape(-1, D))
        self.weight.grad += column_sums((dy * n).reshape(-1, D))
        if self.weight.examples is not None:
            self.weight.keep(Each((dy * n).reshape(len(dy), -1, D).sum(axis=1)))
            if self.bias is not None:
                self.bias.keep(Each(dy.reshape(len(dy), -1, D).sum(axis=1)))
        dx = empty_rows(dy)
        layer_norm_backward(dy, self.weight.data, n, r, dx)
        return dx


@backend.fused_rows(*LAYER_NORM_FORWARD)
def layer_norm_forward(x: Array, w: Array, b: Array | None, eps: float, y: Array, n: Array, r: Array) -> None:
    """Write the results of the forward equations into `y`, `n` and `r`. On a GPU this is one kernel."""
    c = np.subtract(x, row_means(x), out=n)  # c uses the memory of n
    np.divide(1, np.sqrt(mean_squares(c, temp=y) + eps), out=r)
    np.multiply(c, r, out=n)
    np.multiply(n, w, out=y)
    if b is not None:
        y += b


@backend.fused_rows(*LAYER_NORM_BACKWARD)
def layer_norm_backward(dy: Array, w: Array, n: Array, r: Array, dx: Array) -> None:
    """Write dx. On a GPU this is one kernel."""
    dn = dy * w
    np.subtract(dn, row_means(dn), out=dx)
    dn_n = np.multiply(dn, n, out=dn)  # overwrite dn, which is not needed again
    dx -= n * row_means(dn_n)
    dx *= r


def mean_squares(c: Array, temp: Array) -> Array:
    """Return the mean square of each row, shape (..., 1). The content of `temp` is overwritten."""
    return row_means(squares(c) if c.dtype == np.float16 else np.multiply(c, c, out=temp))


def empty_rows(x: Array) -> Array:
    """Return a new array of the shape of `x`. On a GPU it is C-contiguous: the rows are one after the other."""
    if isinstance(x, np.ndarray):
        return np.empty_like(x)
    return backend.array_module(x).empty(x.shape, dtype=x.dtype)


def check_last_axis(owner: Module, x: Array, size: int, like: Parameter) -> None:
    """Raise unless `x` is an array of floats whose last axis has length `size`, with the dtype and device of `like`."""
    check_floats(owner, "x", x, like=like)
    if x.ndim == 0 or x.shape[-1] != size:
        raise ValueError(f"{type(owner).__name__}({size}) got x of shape {x.shape}; its last axis must be {size}")
