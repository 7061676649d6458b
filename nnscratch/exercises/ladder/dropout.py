"""Exercise 16: inverted dropout, in training and at test time."""

import numpy as np

from ..exercise import Exercise, Gradients, Mistake, Slip, Values


def kept(x, dropout_param):
    """Return the right values of the three numbers that `measure` computes from the student's answer."""
    p = dropout_param["p"]
    return (p, 1 / p, 1 / p) if dropout_param["mode"] == "train" else (1.0, 1.0, 1.0)


def measure(inputs, out):
    """Return the fraction of kept elements, rounded to one digit, and the smallest and largest out / x of these."""
    x, out = inputs[0], np.asarray(out)
    if out.shape != x.shape:
        raise ValueError(f"out has shape {out.shape}; it must have shape {x.shape}")
    factors = out / x
    kept = factors[factors != 0]
    return {
        "the fraction of kept elements": round(kept.size / x.size, 1),
        "the smallest out / x of a kept element": kept.min(initial=np.inf),
        "the largest out / x of a kept element": kept.max(initial=0),
    }


def replay(inputs, out):
    """Return a function that computes dropout with the mask that the student's forward has drawn."""
    mask = out / inputs[0]
    return lambda x, dropout_param: x * mask


def case(mode, p):
    return lambda rng: (rng.uniform(1, 2, (200, 50)), {"mode": mode, "p": p})


def small(shape, mode, p):
    return lambda rng: (rng.normal(size=shape), {"mode": mode, "p": p})


EXERCISE = Exercise(
    number=16,
    name="dropout",
    title="dropout, in training and at test time",
    parts=[
        Values(
            "dropout_forward",
            kept,
            [case("train", 0.8), case("train", 0.3), case("test", 0.6)],
            ("out", "cache"),
            measure=measure,
            slips=[
                Slip(
                    lambda x, d: (1 - d["p"], 1 / (1 - d["p"]), 1 / (1 - d["p"])),
                    "p is taken as the probability to drop an element. Here it is the probability to keep it.",
                ),
                Slip(
                    lambda x, d: (1 - d["p"], 1 / d["p"], 1 / d["p"]),
                    "elements are kept with probability 1 - p, not p.",
                ),
                Slip(lambda x, d: (d["p"], 1.0, 1.0), "the division of the mask by p is missing."),
                Slip(lambda x, d: (1.0, d["p"], d["p"]), "at test time, out must be x. Divide by p only in training."),
            ],
        ),
        Gradients(
            ("dropout_forward", "dropout_backward"),
            [small((4, 6), "train", 0.6), small((5, 6), "train", 0.5), small((4, 2), "test", 0.5)],
            replay=replay,
        ),
    ],
    hints=(
        "np.random.rand(*x.shape) < p is True with probability p. If you divide it by p, True becomes 1 / p and False "
        "becomes 0.",
        "Backward must use the same mask as forward, so put it into the cache. At test time, the mask is 1 everywhere.",
        "A network with dropout is like many networks with shared weights. At test time, it is like their average.",
    ),
    reading="nnscratch/layers/dropout.py; the derivation: docs/derivations/dropout.md",
    mistakes=[
        Mistake("< p) / p", "< p) * 1.0", "the division of the mask by p is missing"),
        Mistake("< p) / p", "> p) / (1 - p)", "the probability to drop"),
        Mistake("mask = np.ones(x.shape)", "mask = np.full(x.shape, p)", "at test time, out must be x"),
        Mistake("dx = dout * mask", "dx = dout", "mask not applied"),
        Mistake("dx = dout * mask", "dx = dout * (mask > 0)", "keep-probability not applied"),
    ],
)
