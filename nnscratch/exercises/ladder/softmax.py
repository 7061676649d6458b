"""Exercise 8: softmax, with its full Jacobian."""

import numpy as np

from ..exercise import Exercise, Gradients, Mistake, Slip, Values, normal

CASES = [normal((3, 4)), normal((5, 2)), normal((2, 3, 4))]


def over(axis):
    def softmax(x):
        e = np.exp(x - x.max(axis=axis, keepdims=True))
        return e / e.sum(axis=axis, keepdims=True)

    return softmax


def over_rows(x):
    return np.exp(x - x.max(axis=-1, keepdims=True))


EXERCISE = Exercise(
    number=8,
    name="softmax",
    title="stable softmax, with its full Jacobian",
    parts=[
        Values(
            "softmax_forward",
            over(-1),
            [*CASES, lambda rng: (rng.normal(1000, 1, (2, 3)),)],
            ("p", "cache"),
            slips=[
                Slip(over(0), "the sum is over axis 0, the examples. It must be over the last axis."),
                Slip(
                    lambda x: over_rows(x) / over_rows(x).sum(axis=0, keepdims=True),
                    "the sum is over axis 0, the examples. It must be over the last axis.",
                ),
                Slip(over(None), "the sum is over the whole array. It must be over the last axis, for each row."),
                Slip(
                    lambda x: np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True),
                    "exp(x) is too large for large scores. Subtract the largest score of the row.",
                ),
                Slip(np.exp, "the division by the sum is missing."),
            ],
        ),
        Gradients(("softmax_forward", "softmax_backward"), CASES),
    ],
    hints=(
        "x.max(axis=-1, keepdims=True) has shape (..., 1), so you can subtract it from x. All elements of the "
        "difference are at most 0, so exp of the difference is at most 1.",
        "Element k of J^T dp is sum_i dp_i J_ik = p_k dp_k - p_k sum_i dp_i p_i. For each row, compute s, the sum of "
        "dp * p. Then dx is p * (dp - s).",
        "The elements of each row of dx add up to 0. The reason: if you add the same constant to all scores of a row, "
        "p does not change.",
    ),
    reading="nnscratch/layers/softmax.py; the derivation: docs/derivations/softmax-cross-entropy.md",
    mistakes=[
        Mistake(
            "dx = p * (dp - (dp * p).sum(axis=-1, keepdims=True))", "dx = dp * p * (1 - p)", "reduced to its diagonal"
        ),
        Mistake("e = np.exp(x - x.max(axis=-1, keepdims=True))", "e = np.exp(x)", "too large for large scores"),
        Mistake(
            "p = e / e.sum(axis=-1, keepdims=True)", "p = e / e.sum(axis=0, keepdims=True)", "axis 0, the examples"
        ),
        Mistake(
            "dx = p * (dp - (dp * p).sum(axis=-1, keepdims=True))", "dx = p * (dp - (dp * p).sum())", "is not right"
        ),
        Mistake("dx = p * (dp - (dp * p).sum(axis=-1, keepdims=True))", "dx = dp", "is not right"),
    ],
)
