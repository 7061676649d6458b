"""Softmax: scores become probabilities, along the last axis.

    shapes      x, y (..., C)

    forward     y_i  = e^(x_i - m) / sum_j e^(x_j - m)          m = max_j x_j: changes nothing, avoids overflow
    backward    dx_i = y_i (dy_i - sum_j dy_j y_j)

The Jacobian is dy_i/dx_j = y_i (1[i = j] - y_j): every output depends on every input, because they share one sum.
Keeping only its diagonal, y_i (1 - y_i), is the classic mistake.

For training a classifier use CrossEntropyLoss on the scores themselves: together the two have a gradient that is
simpler and safer than either's.

Reference: Bridle (1990), "Probabilistic interpretation of feedforward classification network outputs, with
relationships to statistical pattern recognition".
"""

from __future__ import annotations

from .. import backend
from ..backend import Array
from ..checks import check_floats, check_gradient
from ..module import Module


def softmax(x: Array) -> Array:
    """Probabilities along the last axis of an array of floats."""
    xp = backend.array_module(x)
    y = x - x.max(axis=-1, keepdims=True)
    xp.exp(y, out=y)
    y /= y.sum(axis=-1, keepdims=True)
    return y


class Softmax(Module):
    """Probabilities from scores, along the last axis.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> layer = nn.Softmax()
    >>> print(layer(np.array([[1000.0, 1000.0], [0.0, np.log(3.0)]])))
    [[0.5  0.5 ]
     [0.25 0.75]]
    """

    def forward(self, x: Array) -> Array:
        check_floats(self, "x", x)
        if x.ndim == 0 or x.shape[-1] == 0:
            raise ValueError(f"Softmax needs a last axis of one or more scores, got x of shape {x.shape}")
        y = softmax(x)
        self.save_for_backward(y)
        return y

    def backward(self, dy: Array) -> Array:
        (y,) = self.saved()
        check_gradient(self, dy, y.shape, y.dtype)
        return y * (dy - (dy * y).sum(axis=-1, keepdims=True))
