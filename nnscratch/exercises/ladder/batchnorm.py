"""Exercise 17: batch normalisation, with running averages."""

import numpy as np

from ..exercise import Exercise, Gradients, Mistake, Slip, Values


def case(N, D, mode, averages=True):
    def draw(rng):
        x, (gamma, beta) = rng.normal(2, 3, (N, D)), rng.normal(size=(2, D))
        param = {"mode": mode}
        if averages:
            mean, var = rng.normal(size=D), rng.uniform(0.5, 2, D)
            param |= {"eps": 0.01, "momentum": 0.7, "running_mean": mean, "running_var": var}
        return x, gamma, beta, param

    return draw


def values(ddof=0, test_as_train=False, keep=None, eps=True):
    def batchnorm(x, gamma, beta, param):
        running = [param.get(name, np.zeros(x.shape[1])) for name in ("running_mean", "running_var")]
        own, momentum = (x.mean(axis=0), x.var(axis=0, ddof=ddof)), param.get("momentum", 0.9)
        training = param["mode"] == "train"
        mu, var = own if training or test_as_train else running
        out = gamma * (x - mu) / np.sqrt(var + eps * param.get("eps", 1e-5)) + beta
        if training:
            weight = momentum if keep is None else keep(momentum)
            running = [weight * old + (1 - weight) * new for old, new in zip(running, own, strict=True)]
        return out, *running

    return batchnorm


def in_training(x, gamma, beta):
    return values()(x, gamma, beta, {"mode": "train"})[0]


def train(N, D):
    return lambda rng: (rng.normal(2, 3, (N, D)), *rng.normal(size=(2, D)))


CASES = [train(5, 3), train(4, 2), train(6, 4)]
AVERAGES = ("out", "bn_param['running_mean']", "bn_param['running_var']")

EXERCISE = Exercise(
    number=17,
    name="batchnorm",
    title="batch normalisation, with running averages for test time",
    parts=[
        Values(
            "driver:batchnorm_forward",
            values(),
            [case(5, 3, "train"), case(4, 2, "test"), case(6, 4, "train", averages=False)],
            AVERAGES,
            slips=[
                Slip(
                    values(keep=lambda m: 1 - m),
                    "momentum must be the weight of the old running average, not of the new value.",
                ),
                Slip(values(keep=lambda m: 1), "the running averages are not updated in training."),
                Slip(values(test_as_train=True), "at test time, use the running averages, not the mean of the batch."),
                Slip(values(ddof=1), "the variance is divided by N - 1. Here it is a mean: divide by N."),
                Slip(values(eps=False), "eps is missing under the square root."),
            ],
        ),
        Gradients(("driver:batchnorm in training", "batchnorm_backward"), CASES, in_training),
    ],
    hints=(
        "Write n = (x - mu) * r with r = 1 / sqrt(var + eps). At test time, only mu and var are different. "
        "Store the averages in bn_param, not only in a variable.",
        "dn = dout * gamma. Then dx = r * (dn - mean(dn) - n * mean(dn * n)), with means over the batch. The second "
        "term comes from mu, the third from var.",
        "If all examples get the same gradient, dx is 0. The reason: if you add the same number to all examples, out "
        "does not change.",
    ),
    reading="nnscratch/layers/batch_norm.py; the derivation: docs/derivations/normalisation.md",
    mistakes=[
        Mistake("dx = r * (dn - dn.mean(axis=0) - n * (dn * n).mean(axis=0))", "dx = r * dn", "a path missing"),
        Mistake(" - n * (dn * n).mean(axis=0))", ")", "a path missing"),
        Mistake("mu, var = running_mean, running_var", "mu, var = x.mean(axis=0), x.var(axis=0)", "at test time, use"),
        Mistake(
            '["running_mean"] = momentum * running_mean + (1 - momentum) * mu',
            '["running_mean"] = (1 - momentum) * running_mean + momentum * mu',
            "bn_param['running_mean']",
        ),
        Mistake("var = x.var(axis=0)\n", "var = x.var(axis=0, ddof=1)\n", "divide by N"),
        Mistake("dn = dout * gamma", "dn = dout", "a factor missing"),
    ],
)
