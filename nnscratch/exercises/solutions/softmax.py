"""Exercise 8: softmax

Turn scores into probabilities, row by row.

    forward     p_i = exp(x_i) / sum_k exp(x_k)
    backward    dx  = J^T dp, with the gradient dp of the loss with respect to p, and the Jacobian J of p:
                J_ik = the derivative of p_i with respect to x_k = p_i (1 if i = k, else 0) - p_i p_k

Every output depends on every input of its row, so the Jacobian of a row is a full matrix, not only a diagonal. You can
compute this matrix. Or you can first derive a formula for J^T dp, which needs only one line of code.

A row of p does not change if the same constant is added to all scores of the row. Use this fact to avoid an overflow:
exp(1000) is larger than the largest float64 number, but your forward must be right for such scores too.

Shapes: x, p, dp and dx (..., C). Softmax is taken over the last axis.

What is checked: the values of forward, to 6 digits, also for scores near 1000; then the gradient of backward.
Tolerances: 1e-6 of the largest value (float32: 1e-3); for gradients, a relative error of 1e-6 (float32: 1e-2).
Also part of: CMU 11-785, homework 1 (Softmax, with the full Jacobian).

Check it:    nnscratch exercises check softmax
Stuck?       nnscratch exercises hint softmax
"""

import numpy as np


def softmax_forward(x):
    """Return p and a cache for backward."""
    # solution: Compute p. Save in cache what backward needs.
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    p = e / e.sum(axis=-1, keepdims=True)
    cache = p
    return p, cache
    # end


def softmax_backward(dp, cache):
    """Return dx, the gradient with respect to x."""
    # solution: Compute dx from dp and the cache.
    p = cache
    dx = p * (dp - (dp * p).sum(axis=-1, keepdims=True))
    return dx
    # end
