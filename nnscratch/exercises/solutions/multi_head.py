"""Exercise 35: attention with several heads

Each head computes its own attention, on a part of the features. All heads together cost about as much as one head that
uses all features.

    Q, K, V = x Wq, x Wk, x Wv
    split the E features of Q, K and V into H heads of E / H neighbouring features
    s       = Q K^T / sqrt(E / H)                   for each example and each head
    A       = softmax(s) over the last axis
    heads   = A V, joined again to E features
    out     = heads Wo

Shapes: x, out, dout and dx (N, T, E); Wq, Wk, Wv, Wo and their gradients (E, E); H is num_heads, and divides E. With a
separate axis for the heads, Q is (N, H, T, E / H) and A is (N, H, T, T).

What is checked: the values of forward, to 6 digits; then the five gradients of backward.
Tolerances: 1e-6 of the largest value (float32: 1e-3); for gradients, a relative error of 1e-6 (float32: 1e-2).
Also part of: "Dive into Deep Learning", chapter 11 (multi-head attention).

Check it:    nnscratch exercises check multi_head
Stuck?       nnscratch exercises hint multi_head
"""

import numpy as np


def split(a, num_heads):
    """Return a (N, T, E) as heads (N, H, T, E / H). This function is given."""
    N, T, E = a.shape
    return a.reshape(N, T, num_heads, E // num_heads).transpose(0, 2, 1, 3)


def join(a):
    """Return heads (N, H, T, E / H) as (N, T, E): the opposite of split. This function is given."""
    N, H, T, D = a.shape
    return a.transpose(0, 2, 1, 3).reshape(N, T, H * D)


def multi_head_forward(x, Wq, Wk, Wv, Wo, num_heads):
    """Return out and a cache for backward."""
    # solution: Compute out. Save in cache what backward needs.
    Q, K, V = (split(x @ W, num_heads) for W in (Wq, Wk, Wv))
    scale = 1 / np.sqrt(Q.shape[-1])
    s = Q @ K.transpose(0, 1, 3, 2) * scale
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    A = e / e.sum(axis=-1, keepdims=True)
    heads = join(A @ V)
    out = heads @ Wo
    cache = (x, Wq, Wk, Wv, Wo, Q, K, V, A, heads, scale)
    return out, cache
    # end


def multi_head_backward(dout, cache):
    """Return dx, dWq, dWk, dWv and dWo."""
    # solution: Compute the five gradients.
    x, Wq, Wk, Wv, Wo, Q, K, V, A, heads, scale = cache
    dWo = np.einsum("nte,ntf->ef", heads, dout)
    dheads = split(dout @ Wo.T, Q.shape[1])
    dV = A.transpose(0, 1, 3, 2) @ dheads
    dA = dheads @ V.transpose(0, 1, 3, 2)
    ds = A * (dA - (dA * A).sum(axis=-1, keepdims=True)) * scale
    dQ, dK, dV = join(ds @ K), join(ds.transpose(0, 1, 3, 2) @ Q), join(dV)
    dWq, dWk, dWv = (np.einsum("nte,ntf->ef", x, d) for d in (dQ, dK, dV))
    dx = dQ @ Wq.T + dK @ Wk.T + dV @ Wv.T
    return dx, dWq, dWk, dWv, dWo
    # end
