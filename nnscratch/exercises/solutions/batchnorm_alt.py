"""Exercise 18: batch normalisation, the short backward

The forward of batch normalisation is given. There is a short formula for dx, which uses the two sums that backward
computes anyway:

    dgamma = sum(dout * n)
    dbeta  = sum(dout)
    dx     = gamma * r / N * (N * dout - dbeta - n * dgamma)        r = 1 / sqrt(var + eps)

Derive this formula on paper from your formula for dx in the exercise batchnorm. Two facts are enough: gamma is the same
for all examples, so it is a common factor in both means; and a mean is a sum divided by N. Then write the short formula
as code.

Shapes: x, n, dout and dx (N, D); gamma, beta, r and their gradients (D,).

What is checked: the three gradients of backward.
Tolerances: 1e-6 of the largest value (float32: 1e-3); for gradients, a relative error of 1e-6 (float32: 1e-2).
Also part of: CS231n, assignment 2 (batchnorm_backward_alt).

Check it:    nnscratch exercises check batchnorm_alt
Stuck?       nnscratch exercises hint batchnorm_alt
"""

import numpy as np


def batchnorm_forward(x, gamma, beta):
    """Return out and the cache (n, r, gamma). This function is given."""
    r = 1 / np.sqrt(x.var(axis=0) + 1e-5)
    n = (x - x.mean(axis=0)) * r
    return gamma * n + beta, (n, r, gamma)


def batchnorm_backward_alt(dout, cache):
    """Return dx, dgamma and dbeta."""
    n, r, gamma = cache
    # solution: Compute the three gradients.
    N = len(dout)
    dgamma = (dout * n).sum(axis=0)
    dbeta = dout.sum(axis=0)
    dx = gamma * r / N * (N * dout - dbeta - n * dgamma)
    return dx, dgamma, dbeta
    # end
