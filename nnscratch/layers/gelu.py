"""GELU: y = x Phi(x), x times the probability that a standard normal number is below x.

    exact       Phi(x) = (1 + erf(x / sqrt 2)) / 2                  phi(x) = e^(-x^2/2) / sqrt(2 pi), its derivative
        forward     y  = x Phi(x)
        backward    dx = dy (Phi(x) + x phi(x))

    tanh        u = sqrt(2/pi) (x + 0.044715 x^3)                   u' = sqrt(2/pi) (1 + 3 * 0.044715 x^2)
        forward     y  = x (1 + tanh u) / 2
        backward    dx = dy ((1 + tanh u) / 2 + x (1 - tanh^2 u) u' / 2)

A smooth ReLU that lets small negative numbers through. GPT-2 used the second form, an approximation within 5e-4 of
the first, made when erf was slow to compute.

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
    """The Gaussian error linear unit, element by element.

    Parameters
    ----------
    approximate : {"none", "tanh"}
        The exact function, or GPT-2's approximation.

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
            u = A * B * x  # A x (1 + B x^2), term by term in one array: to fetch and fill new ones would take longer
            u *= x
            u += A
            u *= x
            t = xp.tanh(u)
            self.save_for_backward(x, t)
            y = 0.5 * x
            y += y * t
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
            dx *= x
            slope = t * t
            slope -= 1  # -(1 - tanh^2 u)
            dx *= slope
            dx -= t
            dx -= 1
            dx *= -0.5
            dx *= dy
            return dx
        x, Phi = self.saved()
        check_gradient(self, dy, x.shape, x.dtype)
        phi = backend.array_module(x).exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
        return dy * (Phi + x * phi)
