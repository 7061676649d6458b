"""Exercise 34: scaled dot-product attention with a mask."""

import numpy as np

from ..exercise import Exercise, Gradients, Mistake, Slip, Values


def case(N, T, S, D, E):
    def draw(rng):
        mask = rng.random((T, S)) < 0.6
        mask[:, 0] = True
        mask[0, 1] = False
        return rng.normal(size=(N, T, D)), rng.normal(size=(N, S, D)), rng.normal(size=(N, S, E)), mask

    return draw


def values(scale=lambda D: 1 / np.sqrt(D), masked=True, axis=-1):
    def attention(Q, K, V, mask):
        s = Q @ K.transpose(0, 2, 1) * scale(Q.shape[-1])
        s = np.where(mask, s, -1e30) if masked else s
        e = np.exp(s - s.max(axis=axis, keepdims=True))
        return e / e.sum(axis=axis, keepdims=True) @ V

    return attention


CASES = [case(2, 3, 4, 5, 2), case(1, 4, 2, 3, 3), case(3, 2, 3, 2, 4)]

EXERCISE = Exercise(
    number=34,
    name="attention",
    title="scaled dot-product attention, with a mask",
    parts=[
        Values(
            "attention_forward",
            values(),
            CASES,
            ("out", "cache"),
            slips=[
                Slip(values(masked=False), "the mask is not used."),
                Slip(values(scale=lambda D: 1), "the division by sqrt(D) is missing."),
                Slip(values(scale=lambda D: 1 / D), "the scores are divided by D. Divide by its square root."),
                Slip(values(axis=1), "softmax is taken over the queries. It must be over the keys, the last axis."),
            ],
        ),
        Gradients(("attention_forward", "attention_backward"), CASES),
    ],
    hints=(
        "K.transpose(0, 2, 1) exchanges the last two axes. np.where(mask, s, -1e30) applies the mask; softmax then "
        "gives the weight 0 to the keys that the query must not use.",
        "Go back step by step. The product A V gives dV and dA. The softmax exercise gives ds from dA. The product Q "
        "K^T gives dQ and dK, both with the factor 1 / sqrt(D). The mask needs no extra line: where A is 0, ds is 0.",
        "Without the division, the scores grow with D, the softmax becomes nearly one-hot, and its gradient vanishes.",
    ),
    reading="nnscratch/layers/attention.py; the derivation: docs/derivations/attention.md",
    mistakes=[
        Mistake("scale = 1 / np.sqrt(Q.shape[-1])", "scale = 1", "the division by sqrt(D) is missing"),
        Mistake("    s = np.where(mask, s, -1e30)\n", "", "the mask is not used"),
        Mistake("dQ = ds @ K * scale", "dQ = ds @ K", "scaled by a constant"),
        Mistake("dV = A.transpose(0, 2, 1) @ dout", "dV = -A.transpose(0, 2, 1) @ dout", "sign flipped"),
    ],
)
