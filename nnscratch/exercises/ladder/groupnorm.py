"""Exercise 26: group normalisation of images."""

import numpy as np

from ..exercise import Exercise, Gradients, Mistake, Slip, Values


def case(N, C, H, W, G, **param):
    return lambda rng: (rng.normal(2, 3, (N, C, H, W)), *rng.normal(size=(2, 1, C, 1, 1)), G, param)


def values(groups=lambda G, C: G, ddof=0, scaled=True):
    def groupnorm(x, gamma, beta, G, param):
        g = x.reshape(len(x), groups(G, x.shape[1]), -1)
        n = g - g.mean(axis=2, keepdims=True)
        n = (n / np.sqrt(g.var(axis=2, keepdims=True, ddof=ddof) + param.get("eps", 1e-5))).reshape(x.shape)
        return gamma * n + beta if scaled else n

    return groupnorm


CASES = [case(2, 4, 3, 2, 2), case(1, 6, 2, 2, 3, eps=0.1), case(3, 4, 1, 3, 2)]

EXERCISE = Exercise(
    number=26,
    name="groupnorm",
    title="normalisation over groups of channels",
    parts=[
        Values(
            "spatial_groupnorm_forward",
            values(),
            CASES,
            ("out", "cache"),
            slips=[
                Slip(values(lambda G, C: 1), "all channels are in one group. Use G groups."),
                Slip(values(lambda G, C: C), "every channel is a group of its own. Use G groups of C / G channels."),
                Slip(
                    values(lambda G, C: C // G), "there are C / G groups of G channels. Use G groups of C / G channels."
                ),
                Slip(values(ddof=1), "the variance is divided by M - 1. Here it is a mean: divide by M."),
                Slip(values(scaled=False), "gamma and beta are not used."),
            ],
        ),
        Gradients(("spatial_groupnorm_forward", "spatial_groupnorm_backward"), CASES),
    ],
    hints=(
        "x.reshape(N, G, -1) puts the channels and pixels of a group into one row. Normalise it as in layernorm, then "
        "reshape back.",
        "dgamma and dbeta are sums over axes 0, 2 and 3, with keepdims=True. For dx, reshape dout * gamma and n to "
        "(N, G, M), use the formula of layernorm with means over axis 2, and reshape back.",
        "Group normalisation does not depend on the batch, so it also works with one or two images.",
    ),
    reading="nnscratch/layers/group_norm.py; the derivation: docs/derivations/normalisation.md",
    mistakes=[
        Mistake(
            "groups = x.reshape(x.shape[0], G, -1)", "groups = x.reshape(x.shape[0], 1, -1)", "all channels are in one"
        ),
        Mistake("(dout * gamma).reshape(groups)", "dout.reshape(groups)", "a factor missing"),
        Mistake("dbeta = dout.sum(", "dbeta = dout.mean(", "scaled by a constant"),
        Mistake("dbeta = dout.sum(axis=(0, 2, 3), keepdims=True)", "dbeta = dout.sum(axis=(0, 2, 3))", "shape"),
        Mistake("out = gamma * n + beta\n    cache", "out = n\n    cache", "gamma and beta are not used"),
    ],
)
