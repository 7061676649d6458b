"""LogSoftmax: the logarithm of softmax, along the last axis.

    shapes      x, y, p (..., C)

    forward     y_i  = x_i - m - log sum_j e^(x_j - m)          m = max_j x_j
    backward    dx_i = dy_i - p_i sum_j dy_j                    p = e^y, the probabilities

Computing log(softmax(x)) in two steps gives -infinity when a probability rounds to zero. The formula above stays
finite.

Reference: Goodfellow, Bengio and Courville (2016), "Deep learning", https://www.deeplearningbook.org, section 4.1:
overflow and underflow.
"""

from __future__ import annotations

from .. import backend
from ..backend import Array
from ..checks import check_floats, check_gradient
from ..module import Module


class LogSoftmax(Module):
    """The logarithm of softmax along the last axis.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> layer = nn.LogSoftmax()
    >>> print(layer(np.array([[0.0, np.log(3.0)]])).round(4))
    [[-1.3863 -0.2877]]
    >>> print(layer.backward(np.array([[0.0, 1.0]])).round(4))       # (0, 1) minus the probabilities
    [[-0.25  0.25]]
    """

    def forward(self, x: Array) -> Array:
        check_floats(self, "x", x)
        if x.ndim == 0 or x.shape[-1] == 0:
            raise ValueError(f"LogSoftmax needs a last axis of one or more scores, got x of shape {x.shape}")
        xp = backend.array_module(x)
        y = x - x.max(axis=-1, keepdims=True)
        y -= xp.log(xp.exp(y).sum(axis=-1, keepdims=True))
        self.save_for_backward(y)
        return y

    def backward(self, dy: Array) -> Array:
        (y,) = self.saved()
        check_gradient(self, dy, y.shape, y.dtype)
        return dy - backend.array_module(y).exp(y) * dy.sum(axis=-1, keepdims=True)
