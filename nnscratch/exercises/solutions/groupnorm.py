"""Exercise 26: group normalisation

Normalise each group of channels of an example. With one group, this is layer normalisation. With C groups, each channel
is normalised separately.

    forward     divide the C channels into G groups of C / G neighbouring channels
                mu, var = mean and variance of a group: over its channels and all pixels, for each example
                n       = (x - mu) / sqrt(var + eps)
                out     = gamma * n + beta

There is one mean and one variance for each group, but one gamma and one beta for each channel. So reshape x to
(N, G, M), where M is the number of elements of a group, and reshape the result back to (N, C, H, W).

gn_param is a dictionary that may have the entry "eps" (otherwise 1e-5).

Shapes: x, out, dout and dx (N, C, H, W); gamma, beta and their gradients (1, C, 1, 1); G is an integer that divides C.

What is checked: the values of forward, to 6 digits; then the three gradients of backward.
Tolerances: 1e-6 of the largest value (float32: 1e-3); for gradients, a relative error of 1e-6 (float32: 1e-2).
Also part of: CS231n, assignment 2 (spatial_groupnorm_forward, spatial_groupnorm_backward).

Check it:    nnscratch exercises check groupnorm
Stuck?       nnscratch exercises hint groupnorm
"""

import numpy as np


def spatial_groupnorm_forward(x, gamma, beta, G, gn_param):
    """Return out and a cache for backward."""
    eps = gn_param.get("eps", 1e-5)
    # solution: Compute out. Save in cache what backward needs.
    groups = x.reshape(x.shape[0], G, -1)
    mu = groups.mean(axis=2, keepdims=True)
    var = groups.var(axis=2, keepdims=True)
    r = 1 / np.sqrt(var + eps)
    n = ((groups - mu) * r).reshape(x.shape)
    out = gamma * n + beta
    cache = (n, r, gamma)
    return out, cache
    # end


def spatial_groupnorm_backward(dout, cache):
    """Return dx, dgamma and dbeta."""
    # solution: Compute the three gradients.
    n, r, gamma = cache
    dgamma = (dout * n).sum(axis=(0, 2, 3), keepdims=True)
    dbeta = dout.sum(axis=(0, 2, 3), keepdims=True)
    groups = (*r.shape[:2], -1)
    dn, n_g = (dout * gamma).reshape(groups), n.reshape(groups)
    dx = r * (dn - dn.mean(axis=2, keepdims=True) - n_g * (dn * n_g).mean(axis=2, keepdims=True))
    dx = dx.reshape(dout.shape)
    return dx, dgamma, dbeta
    # end
