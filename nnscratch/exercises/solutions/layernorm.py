"""Exercise 19: layer normalisation

Use the equations of batch normalisation with other means: over the features of each example, not over the batch.

    mu  = mean(x)                                   for each example
    var = mean((x - mu)^2)
    n   = (x - mu) / sqrt(var + eps)
    out = gamma * n + beta

There are no running averages: the formulas are the same in training and at test time. Note the axes. The means in
forward and in dx are over the features. But gamma and beta have one element for each feature, so their gradients are
sums over the examples.

ln_param is a dictionary that may have the entry "eps" (otherwise 1e-5).

Shapes: x, out, dout and dx (N, D); gamma, beta and their gradients (D,).

What is checked: the values of forward, to 6 digits; then the three gradients of backward.
Tolerances: 1e-6 of the largest value (float32: 1e-3); for gradients, a relative error of 1e-6 (float32: 1e-2).
Also part of: CS231n, assignment 2 (layernorm_forward, layernorm_backward).

Check it:    nnscratch exercises check layernorm
Stuck?       nnscratch exercises hint layernorm
"""

import numpy as np


def layernorm_forward(x, gamma, beta, ln_param):
    """Return out and a cache for backward."""
    eps = ln_param.get("eps", 1e-5)
    # solution: Compute out. Save in cache what backward needs.
    mu = x.mean(axis=1, keepdims=True)
    var = x.var(axis=1, keepdims=True)
    r = 1 / np.sqrt(var + eps)
    n = (x - mu) * r
    out = gamma * n + beta
    cache = (n, r, gamma)
    return out, cache
    # end


def layernorm_backward(dout, cache):
    """Return dx, dgamma and dbeta."""
    # solution: Compute the three gradients.
    n, r, gamma = cache
    dgamma = (dout * n).sum(axis=0)
    dbeta = dout.sum(axis=0)
    dn = dout * gamma
    dx = r * (dn - dn.mean(axis=1, keepdims=True) - n * (dn * n).mean(axis=1, keepdims=True))
    return dx, dgamma, dbeta
    # end
