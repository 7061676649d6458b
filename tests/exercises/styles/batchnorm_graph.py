"""The backward pass of the computational graph, node by node, and every intermediate value in the cache."""

import numpy as np


def batchnorm_forward(x, gamma, beta, bn_param):
    N, D = x.shape
    eps, momentum = bn_param.get("eps", 1e-5), bn_param.get("momentum", 0.9)
    mean, var = bn_param.get("running_mean", np.zeros(D)), bn_param.get("running_var", np.zeros(D))
    if bn_param["mode"] == "test":
        return (x - mean) / np.sqrt(var + eps) * gamma + beta, None
    mu = 1.0 / N * np.sum(x, axis=0)
    xmu = x - mu
    sq = xmu**2
    var_batch = 1.0 / N * np.sum(sq, axis=0)
    sqrtvar = np.sqrt(var_batch + eps)
    ivar = 1.0 / sqrtvar
    xhat = xmu * ivar
    bn_param["running_mean"] = momentum * mean + (1 - momentum) * mu
    bn_param["running_var"] = momentum * var + (1 - momentum) * var_batch
    return gamma * xhat + beta, [xhat, gamma, xmu, ivar, sqrtvar, var_batch, eps]


def batchnorm_backward(dout, cache):
    xhat, gamma, xmu, ivar, sqrtvar, var, eps = cache
    N, D = dout.shape
    dbeta = np.sum(dout, axis=0)
    dgamma = np.sum(dout * xhat, axis=0)
    dxhat = dout * gamma
    divar = np.sum(dxhat * xmu, axis=0)
    dxmu = dxhat * ivar
    dsqrtvar = -1.0 / sqrtvar**2 * divar
    dvar = 0.5 * 1.0 / np.sqrt(var + eps) * dsqrtvar
    dsq = 1.0 / N * np.ones((N, D)) * dvar
    dxmu = dxmu + 2 * xmu * dsq
    dmu = -1 * np.sum(dxmu, axis=0)
    return dxmu + 1.0 / N * np.ones((N, D)) * dmu, dgamma, dbeta
