"""Exercise 1: the sigmoid function, stable at +-800."""

import numpy as np

from ..exercise import Exercise, Gradients, Mistake, Slip, Values, given, normal


def reference(x):
    return np.tanh(x / 2) / 2 + 0.5


EXTREME = np.array([[-800.0, -1.0, 0.5], [2.0, 30.0, 800.0]])
SHAPES = [normal((3, 4)), normal((5,)), normal((2, 3, 2))]

EXERCISE = Exercise(
    number=1,
    name="sigmoid",
    title="the sigmoid function, right for very large and very small x",
    parts=[
        Values(
            "sigmoid_forward",
            reference,
            [*SHAPES, given(EXTREME)],
            ("out", "cache"),
            slips=[
                Slip(lambda x: np.exp(x) / (1 + np.exp(x)), "exp(x) is too large for large x. Use exp(-x) if x > 0."),
                Slip(lambda x: 1 / (1 + np.exp(x)), "a sign is wrong: this is the sigmoid of -x."),
                Slip(np.tanh, "this is tanh. The sigmoid has values between 0 and 1."),
            ],
            stable=True,
        ),
        Gradients(("sigmoid_forward", "sigmoid_backward"), SHAPES),
    ],
    hints=(
        "For x >= 0, exp(-x) is at most 1. For x < 0, exp(x) is at most 1. Write the sigmoid with exp(x) for x < 0: "
        "multiply the numerator and the denominator by exp(x).",
        "np.where computes both of its branches, so neither may overflow. np.exp(-np.abs(x)) is never large. Call it "
        "e. Then np.where(x >= 0, 1 / (1 + e), e / (1 + e)) is the sigmoid. Its derivative needs only the output: "
        "out * (1 - out). The chain rule multiplies it by dout.",
        "Another stable form needs no case distinction: tanh(x / 2) / 2 + 1 / 2. The package uses it.",
    ),
    reading="nnscratch/layers/sigmoid.py; the derivation: docs/derivations/activations.md",
    mistakes=[
        Mistake("dx = dout * out * (1 - out)", "dx = out * (1 - out)", "upstream gradient"),
        Mistake("dx = dout * out * (1 - out)", "dx = -dout * out * (1 - out)", "sign flipped"),
        Mistake("out = np.where(positive, 1 / (1 + e), e / (1 + e))", "out = np.exp(x) / (1 + np.exp(x))", "too large"),
        Mistake("out = np.where(positive, 1 / (1 + e), e / (1 + e))", "out = 1 / (1 + np.exp(-x))", "overflow"),
        Mistake("dx = dout * out * (1 - out)", "dx = dout * (1 - out)", "activation's derivative wrong"),
    ],
)
