"""Exercise 25: batch normalisation of images

Each channel is one feature, and every pixel of every image is one example of this feature. So the means are over the
batch and over the pixels. Everything else is as in the exercise batchnorm:

    train       mu, var = mean and variance of a channel, over axes 0, 2 and 3
                running_mean = momentum * running_mean + (1 - momentum) * mu, and running_var in the same way
    test        running_mean and running_var instead of mu and var
    both        n   = (x - mu) / sqrt(var + eps)
                out = gamma * n + beta

You can move the channels to the last axis, reshape to (N H W, C), and use what you wrote for batchnorm.

bn_param is a dictionary with the entry "mode" ("train" or "test"). It may also have "eps" (otherwise 1e-5), "momentum"
(otherwise 0.9), "running_mean" and "running_var" (otherwise zeros). In training, store both new averages in bn_param.

Shapes: x, out, dout and dx (N, C, H, W); gamma, beta, their gradients and the running averages (C,).

What is checked: out and both running averages, to 6 digits, in both modes; then the three gradients in training.
Tolerances: 1e-6 of the largest value (float32: 1e-3); for gradients, a relative error of 1e-6 (float32: 1e-2).
Also part of: CS231n, assignment 2 (spatial_batchnorm_forward, spatial_batchnorm_backward).

Check it:    nnscratch exercises check spatial_batchnorm
Stuck?       nnscratch exercises hint spatial_batchnorm
"""

import numpy as np


def spatial_batchnorm_forward(x, gamma, beta, bn_param):
    """Return out and a cache for backward."""
    eps, momentum = bn_param.get("eps", 1e-5), bn_param.get("momentum", 0.9)
    running_mean = bn_param.get("running_mean", np.zeros(x.shape[1]))
    running_var = bn_param.get("running_var", np.zeros(x.shape[1]))
    # solution: Compute out for both modes. In training, store the new running averages in bn_param.
    if bn_param["mode"] == "train":
        mu = x.mean(axis=(0, 2, 3))
        var = x.var(axis=(0, 2, 3))
        bn_param["running_mean"] = momentum * running_mean + (1 - momentum) * mu
        bn_param["running_var"] = momentum * running_var + (1 - momentum) * var
    else:
        mu, var = running_mean, running_var
    r = 1 / np.sqrt(var + eps)[:, None, None]
    n = (x - mu[:, None, None]) * r
    out = gamma[:, None, None] * n + beta[:, None, None]
    cache = (n, r, gamma)
    return out, cache
    # end


def spatial_batchnorm_backward(dout, cache):
    """Return dx, dgamma and dbeta, for a forward in training."""
    # solution: Compute the three gradients.
    n, r, gamma = cache
    axes = (0, 2, 3)
    dgamma = (dout * n).sum(axis=axes)
    dbeta = dout.sum(axis=axes)
    dn = dout * gamma[:, None, None]
    dx = r * (dn - dn.mean(axis=axes, keepdims=True) - n * (dn * n).mean(axis=axes, keepdims=True))
    return dx, dgamma, dbeta
    # end
