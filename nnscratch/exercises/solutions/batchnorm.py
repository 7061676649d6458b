"""Exercise 17: batch normalisation

Normalise every feature to mean 0 and variance 1 over the batch. Then scale it by gamma and shift it by beta.

    train       mu  = mean(x)                       over the batch, for each feature
                var = mean((x - mu)^2)
                n   = (x - mu) / sqrt(var + eps)
                out = gamma * n + beta
                running_mean = momentum * running_mean + (1 - momentum) * mu
                running_var  = momentum * running_var  + (1 - momentum) * var
    test        the same n and out, with running_mean and running_var instead of mu and var

    backward    dgamma = sum(dout * n),  dbeta = sum(dout)
                dx: mu and var depend on x too, so x affects out on three paths

bn_param is a dictionary with the entry "mode" ("train" or "test"). It may also have "eps" (otherwise 1e-5), "momentum"
(otherwise 0.9), "running_mean" and "running_var" (otherwise zeros). In training, store both new averages in bn_param.

Shapes: x, out, dout and dx (N, D); gamma, beta, their gradients and the running averages (D,).

What is checked: out and both running averages, to 6 digits, in both modes; then the three gradients in training.
Tolerances: 1e-6 of the largest value (float32: 1e-3); for gradients, a relative error of 1e-6 (float32: 1e-2).
Also part of: CS231n, assignment 2 (batchnorm_forward, batchnorm_backward).

Check it:    nnscratch exercises check batchnorm
Stuck?       nnscratch exercises hint batchnorm
"""

import numpy as np


def batchnorm_forward(x, gamma, beta, bn_param):
    """Return out and a cache for backward."""
    eps, momentum = bn_param.get("eps", 1e-5), bn_param.get("momentum", 0.9)
    running_mean = bn_param.get("running_mean", np.zeros(x.shape[1]))
    running_var = bn_param.get("running_var", np.zeros(x.shape[1]))
    # solution: Compute out for both modes. In training, store the new running averages in bn_param.
    if bn_param["mode"] == "train":
        mu = x.mean(axis=0)
        var = x.var(axis=0)
        bn_param["running_mean"] = momentum * running_mean + (1 - momentum) * mu
        bn_param["running_var"] = momentum * running_var + (1 - momentum) * var
    else:
        mu, var = running_mean, running_var
    r = 1 / np.sqrt(var + eps)
    n = (x - mu) * r
    out = gamma * n + beta
    cache = (n, r, gamma)
    return out, cache
    # end


def batchnorm_backward(dout, cache):
    """Return dx, dgamma and dbeta, for a forward in training."""
    # solution: Compute the three gradients.
    n, r, gamma = cache
    dgamma = (dout * n).sum(axis=0)
    dbeta = dout.sum(axis=0)
    dn = dout * gamma
    dx = r * (dn - dn.mean(axis=0) - n * (dn * n).mean(axis=0))
    return dx, dgamma, dbeta
    # end
