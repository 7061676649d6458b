"""Exercise 4: ReLU."""

import numpy as np

from ..exercise import Draw, Exercise, Gradients, Mistake, Slip, Values


def away_from_zero(shape: tuple[int, ...]) -> Draw:
    """Return a function that draws x with |x| > 0.1, so that finite differences do not cross the kink of ReLU at 0."""

    def draw(rng: np.random.Generator) -> tuple[np.ndarray]:
        x = rng.normal(size=shape)
        return (x + 0.1 * np.sign(x),)

    return draw


# The arrays are large, so that some elements are positive. If no element were positive, every gradient would be zero,
# and a check would prove nothing.
CASES = [away_from_zero((6, 5)), away_from_zero((25,)), away_from_zero((3, 4, 2))]

EXERCISE = Exercise(
    number=4,
    name="relu",
    title="the rectified linear unit",
    parts=[
        Values(
            "relu_forward",
            lambda x: np.where(x > 0, x, 0),
            CASES,
            ("out", "cache"),
            slips=[
                Slip(np.abs, "this is the absolute value. Negative elements must become 0."),
                Slip(lambda x: np.minimum(x, 0), "this keeps the negative elements instead of the positive ones."),
                Slip(
                    lambda x: (x > 0) * 1.0, "this is the derivative, 0 or 1. Positive elements must keep their value."
                ),
            ],
        ),
        Gradients(("relu_forward", "relu_backward"), CASES),
    ],
    hints=(
        "np.maximum(x, 0) compares each element with 0. np.max is another function: it returns the largest element.",
        "x > 0 is an array of True and False. In a product, True counts as 1 and False as 0: dx = dout * (x > 0). The "
        "condition must test x, not dout.",
        "At x = 0, ReLU has a kink and no derivative. PyTorch and this package choose 0 there.",
    ),
    reading="nnscratch/layers/relu.py; the derivation: docs/derivations/activations.md",
    mistakes=[
        Mistake("dx = dout * (x > 0)", "dx = dout * (dout > 0)", "another mask applied"),
        Mistake("dx = dout * (x > 0)", "dx = (x > 0) * 1.0", "upstream gradient missing"),
        Mistake("out = np.maximum(x, 0)", "x[x < 0] = 0\n    out = x", "changes one of its arguments"),
        Mistake("out = np.maximum(x, 0)", "out = np.abs(x)", "absolute value"),
    ],
)
