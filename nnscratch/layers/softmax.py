"""Softmax: turn scores into probabilities, along the last axis.

    shapes      x, y (..., C)

    forward     y_i  = e^(x_i - m) / sum_j e^(x_j - m)          m = max_j x_j
    backward    dx_i = y_i (dy_i - sum_j dy_j y_j)

Subtracting m does not change the result, and it prevents overflow.

The Jacobian is dy_i/dx_j = y_i (1[i = j] - y_j). Every output depends on every input, because all outputs are divided
by the same sum. A classic mistake is to keep only the diagonal of the Jacobian, y_i (1 - y_i).

To train a classifier, give the scores to CrossEntropyLoss directly. This loss includes the softmax. The gradient of
softmax and loss together is simpler than their two separate gradients, and numerically more stable.

Reference: Bridle (1990), "Probabilistic interpretation of feedforward classification network outputs, with
relationships to statistical pattern recognition", doi:10.1007/978-3-642-76153-9_28.
"""

from __future__ import annotations

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import check_floats, check_gradient
from ..module import Module
from .fast_products import row_sums
from .kernels.softmax import SOFTMAX_OF_ROWS


def softmax(x: Array, out: Array | None = None) -> Array:
    """Return the softmax along the last axis.

    Parameters
    ----------
    x : array of floats, shape (..., C)
    out : C-contiguous array, optional
        The array to write the result into. It may be `x` itself.
    """
    y = backend.array_module(x).empty(x.shape, dtype=x.dtype) if out is None else out
    C = x.shape[-1]
    softmax_of_rows(x.reshape(-1, C), y.reshape(-1, C))  # y is C-contiguous, so reshape returns a view
    return y


@backend.fused_rows(*SOFTMAX_OF_ROWS)
def softmax_of_rows(x: Array, y: Array) -> None:
    """Write the softmax of each row of `x`, shape (n, C), into `y`. On a GPU this is one kernel."""
    np.subtract(x, x.max(axis=1, keepdims=True), out=y)
    np.exp(y, out=y)
    y /= row_sums(y)


class Softmax(Module):
    """The softmax function along the last axis.

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
