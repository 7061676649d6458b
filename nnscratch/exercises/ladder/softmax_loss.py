"""Exercise 10: softmax and cross-entropy in one stable function."""

import numpy as np

from ..exercise import Exercise, Gradients, Mistake, Slip, Values


def case(N, C, mean=0.0):
    return lambda rng: (rng.normal(mean, 1, (N, C)), rng.integers(0, C, N))


CASES = [case(3, 4), case(1, 5), case(6, 2)]


def log_softmax(x, axis=1):
    x = x - x.max(axis=axis, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=axis, keepdims=True))


def loss_of(log_p):
    return lambda x, y: -log_p(x)[np.arange(len(x)), y].mean()


def naive(x):
    return np.log(np.exp(x) / np.exp(x).sum(axis=1, keepdims=True))


TOO_LARGE = "exp(x) is too large for large scores. Subtract the largest score of the row."

EXERCISE = Exercise(
    number=10,
    name="softmax_loss",
    title="softmax and cross-entropy in one stable function",
    parts=[
        Values(
            "softmax_loss",
            loss_of(log_softmax),
            [*CASES, case(3, 4, 1000.0), lambda rng: (np.array([[0.0, 2000.0], [1.0, 0.0]]), np.array([0, 1]))],
            ("loss", "dx"),
            slips=[
                Slip(lambda x, y: len(x) * loss_of(log_softmax)(x, y), "this is a sum. Divide by the number of rows."),
                Slip(lambda x, y: -loss_of(log_softmax)(x, y), "the minus before the logarithm is missing."),
                Slip(
                    lambda x, y: loss_of(log_softmax)(x, y) / x.shape[1], "the loss is divided by N * C. Divide by N."
                ),
                Slip(
                    loss_of(lambda x: log_softmax(x, 0)), "softmax is taken over axis 0. It must be over the classes."
                ),
                Slip(
                    loss_of(lambda x: np.log(np.exp(log_softmax(x)))),
                    "a probability became 0, so its logarithm is -inf. Compute log p without p, as the task shows.",
                ),
                Slip(loss_of(naive), TOO_LARGE),
                Slip(loss_of(lambda x: x - np.log(np.exp(x).sum(axis=1, keepdims=True))), TOO_LARGE),
            ],
        ),
        Gradients(("softmax_loss",), CASES),
    ],
    hints=(
        "log_p[np.arange(N), y] takes one element of each row: the element at the right class.",
        "dx begins as p = np.exp(log_p). Subtract 1 at [np.arange(N), y], then divide by N, since the loss is a mean.",
        "The gradient is simply p minus the one-hot label. That is one reason why most libraries compute softmax and "
        "the logarithm in one function.",
    ),
    reading="nnscratch/losses/cross_entropy.py; the derivation: docs/derivations/softmax-cross-entropy.md",
    mistakes=[
        Mistake("    dx /= N\n", "", "scaled by a constant"),
        Mistake("    dx[np.arange(N), y] -= 1\n", "", "a path missing"),
        Mistake("loss = -log_p[np.arange(N), y].mean()", "loss = -log_p[np.arange(N), y].sum()", "this is a sum"),
        Mistake("shifted = x - x.max(axis=1, keepdims=True)", "shifted = x", "too large for large scores"),
        Mistake(
            "loss = -log_p[np.arange(N), y].mean()",
            "loss = -np.log(np.exp(log_p))[np.arange(N), y].mean()",
            "a probability became 0",
        ),
    ],
)
