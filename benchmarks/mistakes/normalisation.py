"""Mistakes in batch, layer and other normalisation."""

import numpy as np

import nnscratch as nn

from .planted import Planted

rng = np.random.default_rng(13)
X, GAMMA, BETA = rng.normal(size=(5, 4)), rng.uniform(0.5, 1.5, 4), rng.normal(size=4)
EPS = 1e-5


# --- batch normalisation, CS231n -------------------------------------------------------------------------------------


def batchnorm_forward(x, gamma, beta):
    mu = x.mean(axis=0)
    xmu = x - mu
    var = np.mean(xmu**2, axis=0)
    std = np.sqrt(var + EPS)
    xhat = xmu / std
    out = gamma * xhat + beta
    return out, (x, xmu, xhat, std, gamma)


def batchnorm_backward(dout, cache):
    x, xmu, xhat, std, gamma = cache
    N = x.shape[0]
    dbeta = dout.sum(axis=0)
    dgamma = np.sum(dout * xhat, axis=0)
    dxhat = dout * gamma
    dvar = np.sum(dxhat * xmu, axis=0) * -0.5 * std**-3
    dxmu = dxhat / std + dvar * 2 * xmu / N
    dx = dxmu - dxmu.mean(axis=0)
    return dx, dgamma, dbeta


def batchnorm_backward_without_the_variance(dout, cache):
    x, xmu, xhat, std, gamma = cache
    dbeta = dout.sum(axis=0)
    dgamma = np.sum(dout * xhat, axis=0)
    dxhat = dout * gamma
    dxmu = dxhat / std
    dx = dxmu - dxmu.mean(axis=0)
    return dx, dgamma, dbeta


def batchnorm_backward_without_the_mean(dout, cache):
    x, xmu, xhat, std, gamma = cache
    N = x.shape[0]
    dbeta = dout.sum(axis=0)
    dgamma = np.sum(dout * xhat, axis=0)
    dxhat = dout * gamma
    dvar = np.sum(dxhat * xmu, axis=0) * -0.5 * std**-3
    dx = dxhat / std + dvar * 2 * xmu / N
    return dx, dgamma, dbeta


def batchnorm_backward_of_x(dout, cache):
    x, xmu, xhat, std, gamma = cache
    N = x.shape[0]
    dbeta = dout.sum(axis=0)
    dgamma = np.sum(dout * x, axis=0)
    dxhat = dout * gamma
    dvar = np.sum(dxhat * xmu, axis=0) * -0.5 * std**-3
    dxmu = dxhat / std + dvar * 2 * xmu / N
    dx = dxmu - dxmu.mean(axis=0)
    return dx, dgamma, dbeta


def batchnorm_backward_not_summed(dout, cache):
    x, xmu, xhat, std, gamma = cache
    N = x.shape[0]
    dbeta = dout.sum(axis=0)
    dgamma = dout * xhat
    dxhat = dout * gamma
    dvar = np.sum(dxhat * xmu, axis=0) * -0.5 * std**-3
    dxmu = dxhat / std + dvar * 2 * xmu / N
    dx = dxmu - dxmu.mean(axis=0)
    return dx, dgamma, dbeta


# --- layer normalisation ---------------------------------------------------------------------------------------------


class LayerNorm(nn.Module):
    def __init__(self, gamma, beta):
        super().__init__()
        self.gamma, self.beta = nn.Parameter(gamma.copy()), nn.Parameter(beta.copy())

    def forward(self, x):
        mean = x.mean(axis=-1, keepdims=True)
        var = ((x - mean) ** 2).mean(axis=-1, keepdims=True)
        std = np.sqrt(var + EPS)
        xhat = (x - mean) / std
        self.save_for_backward(xhat, std)
        return self.gamma.data * xhat + self.beta.data

    def backward(self, dy):
        xhat, std = self.saved()
        self.beta.grad += dy.sum(axis=0)
        self.gamma.grad += (dy * xhat).sum(axis=0)
        d = dy * self.gamma.data
        return (d - d.mean(axis=-1, keepdims=True) - xhat * (d * xhat).mean(axis=-1, keepdims=True)) / std


class LayerNormAsIfFixed(LayerNorm):
    def backward(self, dy):
        xhat, std = self.saved()
        self.beta.grad += dy.sum(axis=0)
        self.gamma.grad += (dy * xhat).sum(axis=0)
        d = dy * self.gamma.data
        return d / std


class LayerNormWithoutGamma(LayerNorm):
    def backward(self, dy):
        xhat, std = self.saved()
        self.beta.grad += dy.sum(axis=0)
        self.gamma.grad += (dy * xhat).sum(axis=0)
        d = dy
        return (d - d.mean(axis=-1, keepdims=True) - xhat * (d * xhat).mean(axis=-1, keepdims=True)) / std


class LayerNormSummedOverFeatures(LayerNorm):
    def backward(self, dy):
        xhat, std = self.saved()
        self.beta.grad += dy.sum(axis=-1)
        self.gamma.grad += (dy * xhat).sum(axis=0)
        d = dy * self.gamma.data
        return (d - d.mean(axis=-1, keepdims=True) - xhat * (d * xhat).mean(axis=-1, keepdims=True)) / std


# --- others ----------------------------------------------------------------------------------------------------------


class RMSNorm:
    def __init__(self, g):
        self.g, self.dg = g, np.zeros_like(g)

    def forward(self, x):
        self.x = x
        self.r = 1 / np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + EPS)
        self.n = x * self.r
        return self.n * self.g

    def backward(self, dout):
        self.dg = (dout * self.n).sum(axis=0)
        dn = dout * self.g
        return self.r * (dn - self.n * np.mean(dn * self.n, axis=-1, keepdims=True))


class RMSNormWithAPlus(RMSNorm):
    def backward(self, dout):
        self.dg = (dout * self.n).sum(axis=0)
        dn = dout * self.g
        return self.r * (dn + self.n * np.mean(dn * self.n, axis=-1, keepdims=True))


def unit_forward(x):
    """Scale every row to length 1."""
    length = np.sqrt(np.sum(x * x, axis=1, keepdims=True))
    return x / length, (x, length)


def unit_backward(dout, cache):
    x, length = cache
    return dout / length - x * np.sum(dout * x, axis=1, keepdims=True) / length**3


def unit_backward_as_if_fixed(dout, cache):
    x, length = cache
    return dout / length


CORRECT = [
    ((batchnorm_forward, batchnorm_backward), (X, GAMMA, BETA), {}),
    (LayerNorm(GAMMA, BETA), (X,), {}),
    (RMSNorm(GAMMA.copy()), (X,), {}),
    ((unit_forward, unit_backward), (X,), {}),
]

MISTAKES = [
    Planted(
        "a path missing",
        "batch norm: no gradient through the variance",
        (batchnorm_forward, batchnorm_backward_without_the_variance),
        (X, GAMMA, BETA),
        says="std",
    ),
    Planted(
        "a path missing",
        "batch norm: no gradient through the mean",
        (batchnorm_forward, batchnorm_backward_without_the_mean),
        (X, GAMMA, BETA),
        says="mu",
    ),
    Planted(
        "the wrong array used", "dgamma = sum(dout * x)", (batchnorm_forward, batchnorm_backward_of_x), (X, GAMMA, BETA)
    ),
    Planted(
        "sum over the batch missing",
        "dgamma = dout * xhat",
        (batchnorm_forward, batchnorm_backward_not_summed),
        (X, GAMMA, BETA),
    ),
    Planted(
        "a path missing",
        "layer norm: d / std, mean and variance treated as constants",
        LayerNormAsIfFixed(GAMMA, BETA),
        (X,),
    ),
    Planted("a factor missing", "layer norm: gamma forgotten in dx", LayerNormWithoutGamma(GAMMA, BETA), (X,)),
    Planted(
        "summed over the wrong axis",
        "beta.grad += dy.sum(axis=-1), where N = D",
        LayerNormSummedOverFeatures(GAMMA, BETA),
        (X[:4],),
    ),
    Planted("sign flipped", "RMS norm: dn + n mean(dn n)", RMSNormWithAPlus(GAMMA.copy()), (X,)),
    Planted("a path missing", "x / |x|: dout / |x|", (unit_forward, unit_backward_as_if_fixed), (X,)),
]
