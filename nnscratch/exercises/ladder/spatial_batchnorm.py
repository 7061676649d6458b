"""Exercise 25: batch normalisation of images."""

import numpy as np

from ..exercise import Exercise, Gradients, Mistake, Slip, Values
from .batchnorm import values as of_features


def case(N, C, H, W, mode, averages=True):
    def draw(rng):
        x, (gamma, beta) = rng.normal(2, 3, (N, C, H, W)), rng.normal(size=(2, C))
        param = {"mode": mode}
        if averages:
            mean, var = rng.normal(size=C), rng.uniform(0.5, 2, C)
            param |= {"eps": 0.01, "momentum": 0.7, "running_mean": mean, "running_var": var}
        return x, gamma, beta, param

    return draw


def values(**settings):
    """Return a function that computes batchnorm, with every pixel as an example."""

    def batchnorm(x, gamma, beta, param):
        N, C, H, W = x.shape
        rows = x.transpose(0, 2, 3, 1).reshape(-1, C)
        out, *running = of_features(**settings)(rows, gamma, beta, param)
        return out.reshape(N, H, W, C).transpose(0, 3, 1, 2), *running

    return batchnorm


def in_training(x, gamma, beta):
    return values()(x, gamma, beta, {"mode": "train"})[0]


def train(*shape):
    return lambda rng: (rng.normal(2, 3, shape), *rng.normal(size=(2, shape[1])))


def of_batch_only(x, gamma, beta, param):
    """Return out with a typical mistake: the means are over the batch only, and not over the pixels."""
    n = (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + param.get("eps", 1e-5))
    return gamma[:, None, None] * n + beta[:, None, None]


EXERCISE = Exercise(
    number=25,
    name="spatial_batchnorm",
    title="batch normalisation of images, with one mean for each channel",
    parts=[
        Values(
            "driver:spatial_batchnorm_forward",
            values(),
            [case(3, 2, 2, 3, "train"), case(2, 3, 2, 2, "test"), case(4, 2, 1, 3, "train", averages=False)],
            ("out", "bn_param['running_mean']", "bn_param['running_var']"),
            slips=[
                Slip(
                    values(keep=lambda m: 1 - m),
                    "momentum must be the weight of the old running average, not of the new value.",
                ),
                Slip(values(keep=lambda m: 1), "the running averages are not updated in training."),
                Slip(values(test_as_train=True), "at test time, use the running averages, not the mean of the batch."),
                Slip(
                    values(ddof=1),
                    "the variance is divided by N * H * W - 1. Here it is a mean: divide by N * H * W.",
                ),
                Slip(values(eps=False), "eps is missing under the square root."),
                Slip(of_batch_only, "the means are over the batch only. They must be over the pixels too."),
            ],
        ),
        Gradients(
            ("driver:spatial_batchnorm in training", "spatial_batchnorm_backward"),
            [train(3, 2, 2, 2), train(2, 3, 1, 3), train(2, 2, 3, 1)],
            in_training,
        ),
    ],
    hints=(
        "x.mean(axis=(0, 2, 3)) has shape (C,). mu[:, None, None] has shape (C, 1, 1), which broadcasts against x.",
        "dx is as in batchnorm, with means over axes 0, 2 and 3. dgamma and dbeta are sums over these axes.",
        "A channel is computed by the same kernel at every pixel. That is why its pixels share one mean.",
    ),
    reading="nnscratch/layers/batch_norm.py; the derivation: docs/derivations/normalisation.md",
    mistakes=[
        Mistake(
            "dx = r * (dn - dn.mean(axis=axes, keepdims=True) - n * (dn * n).mean(axis=axes, keepdims=True))",
            "dx = r * dn",
            "a path missing",
        ),
        Mistake(
            "mu, var = running_mean, running_var",
            "mu, var = x.mean(axis=(0, 2, 3)), x.var(axis=(0, 2, 3))",
            "at test time, use",
        ),
        Mistake("dbeta = dout.sum(axis=axes)", "dbeta = dout.mean(axis=axes)", "scaled by a constant"),
        Mistake("dn = dout * gamma[:, None, None]", "dn = dout", "a factor missing"),
        Mistake("var = x.var(axis=(0, 2, 3))\n", "var = x.var(axis=(0, 2, 3), ddof=1)\n", "divide by N * H * W"),
    ],
)
