"""Exercise 19: layer normalisation."""

import numpy as np

from ..exercise import Exercise, Gradients, Mistake, Slip, Values


def case(N, D, **param):
    return lambda rng: (rng.normal(2, 3, (N, D)), *rng.normal(size=(2, D)), param)


def values(axis=1, ddof=0, scaled=True):
    def layernorm(x, gamma, beta, param):
        n = x - x.mean(axis=axis, keepdims=True)
        n = n / np.sqrt(x.var(axis=axis, keepdims=True, ddof=ddof) + param.get("eps", 1e-5))
        return gamma * n + beta if scaled else n

    return layernorm


CASES = [case(3, 5), case(4, 4, eps=0.1), case(2, 6)]

EXERCISE = Exercise(
    number=19,
    name="layernorm",
    title="layer normalisation: the same equations over another axis",
    parts=[
        Values(
            "layernorm_forward",
            values(),
            CASES,
            ("out", "cache"),
            slips=[
                Slip(values(axis=0), "the means are over the batch. They must be over the features of one example."),
                Slip(values(ddof=1), "the variance is divided by D - 1. Here it is a mean: divide by D."),
                Slip(values(scaled=False), "gamma and beta are not used."),
            ],
        ),
        Gradients(("layernorm_forward", "layernorm_backward"), CASES),
    ],
    hints=(
        "axis=1 with keepdims=True gives one mean for each example, in a shape that broadcasts against x.",
        "dn = dout * gamma. dx is as in batchnorm, with means over axis 1. dgamma and dbeta are sums over axis 0.",
        "Each example is normalised separately, so the result does not depend on the other examples of the batch. That "
        "is one reason why layer normalisation is used for sequences.",
    ),
    reading="nnscratch/layers/layer_norm.py; the derivation: docs/derivations/normalisation.md",
    mistakes=[
        Mistake(
            "mu = x.mean(axis=1, keepdims=True)\n    var = x.var(axis=1, keepdims=True)",
            "mu = x.mean(axis=0)\n    var = x.var(axis=0)",
            "the means are over the batch",
        ),
        Mistake("dbeta = dout.sum(axis=0)", "dbeta = dout.mean(axis=0)", "scaled by a constant"),
        Mistake("dn = dout * gamma", "dn = dout", "a factor missing"),
        Mistake(" - n * (dn * n).mean(axis=1, keepdims=True))", ")", "a path missing"),
        Mistake("out = gamma * n + beta\n    cache", "out = n\n    cache", "gamma and beta are not used"),
    ],
)
