"""Exercise 9: mean squared error."""

import numpy as np

from ..exercise import Exercise, Gradients, Mistake, Slip, Values, normal

CASES = [normal((3, 4), (3, 4)), normal((1, 5), (1, 5)), normal((6, 2), (6, 2))]


def reference(x, y):
    return ((x - y) ** 2).mean()


EXERCISE = Exercise(
    number=9,
    name="mse",
    title="the mean squared error and its gradient",
    parts=[
        Values(
            "mse_loss",
            reference,
            CASES,
            ("loss", "dx"),
            slips=[
                Slip(lambda x, y: ((x - y) ** 2).sum(), "this is the sum of the squares. The loss is their mean."),
                Slip(lambda x, y: ((x - y) ** 2).sum() / len(x), "the sum is divided by N, not by the N * C elements."),
                Slip(lambda x, y: reference(x, y) / 2, "there is a factor 1/2. Some books use it; this task does not."),
                Slip(lambda x, y: np.sqrt(reference(x, y)), "this is the square root of the loss."),
                Slip(lambda x, y: np.abs(x - y).mean(), "this is the mean of |x - y|. Square the differences."),
            ],
        ),
        Gradients(("mse_loss",), CASES),
    ],
    hints=(
        "Write the loss as a sum over all elements, divided by their number. Each element of x appears in one term.",
        "The derivative of (x - y)**2 is 2 * (x - y). The mean divides it by the number of elements, x.size.",
        "The loss does not change if x and y are swapped, but the gradient with respect to y is -dx.",
    ),
    reading="nnscratch/losses/mse.py; the derivation: docs/derivations/losses.md",
    mistakes=[
        Mistake("dx = 2 * difference / difference.size", "dx = difference / difference.size", "scaled by a constant"),
        Mistake("dx = 2 * difference / difference.size", "dx = 2 * difference / len(x)", "scaled by a constant"),
        Mistake("dx = 2 * difference / difference.size", "dx = -2 * difference / difference.size", "sign flipped"),
        Mistake("(difference**2).mean()", "(difference**2).sum()", "this is the sum of the squares"),
    ],
)
