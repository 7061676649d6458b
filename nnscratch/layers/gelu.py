"""GELU: y = x Phi(x), where Phi(x) is the probability that a standard normal variable is below x.

    shapes      x, y: any, the same

    exact       Phi(x) = (1 + erf(x / sqrt 2)) / 2                  phi(x) = e^(-x^2/2) / sqrt(2 pi), its derivative
        forward     y  = x Phi(x)
        backward    dx = dy (Phi(x) + x phi(x))

    tanh        u  = A (x + B x^3)                                  A = sqrt(2/pi), B = 0.044715
                t  = tanh u                                         u' = A (1 + 3 B x^2)
        forward     y  = x (1 + t) / 2
        backward    dx = dy ((1 + t) / 2 + x (1 - t^2) u' / 2)

GELU is a smooth ReLU that passes small negative values. GPT-2 used the second form, which differs from the first by
less than 5e-4. The second form was introduced because erf was slow to compute.

The code of the second form updates one array in place, term by term: allocating an array for each term would take
longer than the arithmetic.

Reference: Hendrycks and Gimpel (2016), "Gaussian error linear units (GELUs)".
"""

from __future__ import annotations

import math

from .. import backend
from ..backend import Array
from ..checks import check_floats, check_gradient
from ..module import Module
from .erf import erf

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
        if self.approximate == "tanh":
            u = A * B * x
            u *= x  # A B x^2
            u += A
            u *= x  # A (x + B x^3)
            t = xp.tanh(u)
            self.save_for_backward(x, t)
            y = 0.5 * x
            y += y * t  # x (1 + t) / 2
            return y
        Phi = 0.5 * (1 + erf(xp.asarray(x * math.sqrt(0.5))))
        self.save_for_backward(x, Phi)
        return x * Phi

    def backward(self, dy: Array) -> Array:
        if self.approximate == "tanh":
            x, t = self.saved()
            check_gradient(self, dy, x.shape, x.dtype)
            dx = 3 * A * B * x
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
            return dx
        x, Phi = self.saved()
        check_gradient(self, dy, x.shape, x.dtype)
        phi = backend.array_module(x).exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
        return dy * (Phi + x * phi)
