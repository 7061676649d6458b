"""Exercise 11: softmax regression with weight decay."""

import numpy as np

from ..exercise import Exercise, Gradients, Mistake, Slip, Values
from .softmax_loss import log_softmax


def case(N, D, C, reg):
    return lambda rng: (rng.normal(size=(D, C)), rng.normal(size=(N, D)), rng.integers(0, C, N), reg)


def loss_with(decay):
    return lambda W, X, y, reg: -log_softmax(X @ W)[np.arange(len(X)), y].mean() + decay(W, reg)


CASES = [case(4, 3, 5, 0.1), case(1, 4, 3, 0.3), case(6, 2, 2, 0.05)]

EXERCISE = Exercise(
    number=11,
    name="softmax_regression",
    title="a linear classifier with softmax loss and weight decay",
    parts=[
        Values(
            "softmax_loss_vectorized",
            loss_with(lambda W, reg: reg * (W**2).sum()),
            CASES,
            ("loss", "dW"),
            slips=[
                Slip(loss_with(lambda W, reg: 0), "the weight decay is missing: add reg * sum(W**2)."),
                Slip(loss_with(lambda W, reg: reg * (W**2).sum() / 2), "in this task, weight decay has no factor 1/2."),
                Slip(loss_with(lambda W, reg: reg * (W**2).mean()), "the weight decay must be a sum, not a mean."),
                Slip(
                    lambda W, X, y, reg: len(X) * loss_with(lambda W, reg: 0)(W, X, y, reg) + reg * (W**2).sum(),
                    "your softmax loss is a sum over the examples. Divide it by N.",
                ),
            ],
        ),
        Gradients(("softmax_loss_vectorized",), CASES),
    ],
    hints=(
        "The loss is a sum of two terms, so dW is a sum of two gradients. The first gradient passes through scores = X "
        "W, as in an affine layer.",
        "Compute dscores as in softmax_loss, including the factor 1/N. Then X.T @ dscores has the shape of W. The "
        "derivative of reg * W**2 is 2 * reg * W.",
        "Only the first term is divided by N: weight decay does not depend on the number of examples.",
    ),
    reading="nnscratch/losses/cross_entropy.py and nnscratch/layers/linear.py",
    mistakes=[
        Mistake(" + 2 * reg * W", "", "weight decay's share wrong"),
        Mistake("dW = X.T @ dscores / N", "dW = X.T @ dscores", "scaled by a constant"),
        Mistake(" + reg * (W**2).sum()", "", "the weight decay is missing"),
        Mistake("reg * (W**2).sum()", "reg * (W**2).sum() / 2", "no factor 1/2"),
        Mistake("-log_p[np.arange(N), y].mean()", "-log_p[np.arange(N), y].sum()", "Divide it by N"),
    ],
)
