"""GELU: y = x Phi(x), where Phi(x) is the probability that a standard normal variable is below x.

    shapes      x, y: any, the same

    exact       Phi(x) = (1 + erf(x / sqrt 2)) / 2                  phi(x) = e^(-x^2/2) / sqrt(2 pi), its derivative
        forward     y  = x Phi(x)
        backward    dx = dy (Phi(x) + x phi(x))

    tanh        u  = A (x + B x^3)                                  A = sqrt(2/pi), B = 0.044715
                t  = tanh u                                         u' = A (1 + 3 B x^2)
        forward     y  = x (1 + t) / 2
        backward    dx = dy ((1 + t) / 2 + x (1 - t^2) u' / 2)

GELU is a smooth ReLU that passes small negative values. GPT-2 used the tanh form, which differs from the exact
form by less than 5e-4. The tanh form was introduced because erf was slow to compute.

The code updates a few arrays in place, term by term. Allocating an array for each term would take longer than the
arithmetic. On a GPU, each of the four functions is one kernel (kernels/gelu.py).

Reference: Hendrycks and Gimpel (2016), "Gaussian error linear units (GELUs)", arXiv:1606.08415.
"""

from __future__ import annotations

import math

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import check_floats, check_gradient
from ..module import Module
from .erf import erf
from .kernels import gelu as kernels

A, B = math.sqrt(2 / math.pi), 0.044715


class GELU(Module):
    """The Gaussian error linear unit, applied to each element.

    Parameters
    ----------
    approximate : {"none", "tanh"}
        "none" for the exact function, "tanh" for the approximation that GPT-2 uses.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> layer = nn.GELU()
    >>> print(layer(np.array([-100.0, -1.0, 0.0, 1.0, 100.0])).round(4))
    [ -0.      -0.1587   0.       0.8413 100.    ]
    >>> print(layer.backward(np.ones(5)).round(4))
    [ 0.     -0.0833  0.5     1.0833  1.    ]
    """

    arguments = ("approximate",)

    def __init__(self, approximate: str = "none"):
        if approximate not in ("none", "tanh"):
            raise ValueError(f'approximate must be "none" or "tanh", got {approximate!r}')
        self.approximate = approximate

    def forward(self, x: Array) -> Array:
        check_floats(self, "x", x)
        xp = backend.array_module(x)
        y, inner = xp.empty_like(x), xp.empty_like(x)  # inner: Phi(x), or t
        (exact_forward if self.approximate == "none" else tanh_forward)(x, inner, y)
        self.save_for_backward(x, inner)
        return y

    def backward(self, dy: Array) -> Array:
        x, inner = self.saved()
        check_gradient(self, dy, x.shape, x.dtype)
        dx = backend.array_module(x).empty_like(x)
        (exact_backward if self.approximate == "none" else tanh_backward)(x, inner, dy, dx)
        return dx


@backend.fused(*kernels.EXACT_FORWARD)
def exact_forward(x: Array, Phi: Array, y: Array) -> None:
    np.multiply(x, math.sqrt(0.5), out=y)
    Phi[...] = erf(y)
    Phi += 1
    Phi *= 0.5
    np.multiply(x, Phi, out=y)


@backend.fused(*kernels.EXACT_BACKWARD)
def exact_backward(x: Array, Phi: Array, dy: Array, dx: Array) -> None:
    np.multiply(x, x, out=dx)
    dx *= -0.5
    np.exp(dx, out=dx)
    dx *= 1 / math.sqrt(2 * math.pi)  # phi(x)
    dx *= x
    dx += Phi
    dx *= dy


@backend.fused(*kernels.TANH_FORWARD)
def tanh_forward(x: Array, t: Array, y: Array) -> None:
    np.multiply(x, A * B, out=t)
    t *= x  # A B x^2
    t += A
    t *= x  # A (x + B x^3)
    np.tanh(t, out=t)
    np.multiply(x, 0.5, out=y)
    y += y * t  # x (1 + t) / 2


@backend.fused(*kernels.TANH_BACKWARD)
def tanh_backward(x: Array, t: Array, dy: Array, dx: Array) -> None:
    np.multiply(x, 3 * A * B, out=dx)
    dx *= x
    dx += A  # u'
    dx *= x  # x u'
    minus_dt_du = t * t
    minus_dt_du -= 1  # t^2 - 1
    dx *= minus_dt_du  # -x (1 - t^2) u'
    dx -= t
    dx -= 1
    dx *= -0.5  # (x (1 - t^2) u' + t + 1) / 2
    dx *= dy
