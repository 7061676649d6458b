"""Exercise 34: attention

Scaled dot-product attention: each query gets a weighted mean of the values. The weights depend on the query and on the
keys.

    s   = Q K^T / sqrt(D)                           for each example
    s   = -infinity where mask is False             (a large negative number works too)
    A   = softmax(s) over the last axis, the keys
    out = A V

Backward is a chain of steps that you have written before: a product, the softmax, a product.

mask[i, j] is True if query i may use key j. Each row of mask has at least one True.

Shapes: Q and dQ (N, T, D); K and dK (N, S, D); V and dV (N, S, E); mask (T, S); A (N, T, S); out and dout (N, T, E).

What is checked: the values of forward, to 6 digits; then dQ, dK and dV.
Tolerances: 1e-6 of the largest value (float32: 1e-3); for gradients, a relative error of 1e-6 (float32: 1e-2).
Also part of: CMU 11-785, homework 4 (scaled dot-product attention).

Check it:    nnscratch exercises check attention
Stuck?       nnscratch exercises hint attention
"""

import numpy as np


def attention_forward(Q, K, V, mask):
    """Return out and a cache for backward."""
    # solution: Compute out. Save in cache what backward needs.
    scale = 1 / np.sqrt(Q.shape[-1])
    s = Q @ K.transpose(0, 2, 1) * scale
    s = np.where(mask, s, -1e30)
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    A = e / e.sum(axis=-1, keepdims=True)
    out = A @ V
    cache = (Q, K, V, A, scale)
    return out, cache
    # end


def attention_backward(dout, cache):
    """Return dQ, dK and dV."""
    # solution: Compute the three gradients.
    Q, K, V, A, scale = cache
    dV = A.transpose(0, 2, 1) @ dout
    dA = dout @ V.transpose(0, 2, 1)
    ds = A * (dA - (dA * A).sum(axis=-1, keepdims=True))
    dQ = ds @ K * scale
    dK = ds.transpose(0, 2, 1) @ Q * scale
    return dQ, dK, dV
    # end
