"""Exercise 29: one step of a recurrent network."""

import numpy as np

from ..exercise import Exercise, Gradients, Mistake, Slip, Values, normal


def case(N, D, H):
    return normal((N, D), (N, H), (D, H), (H, H), (H,))


CASES = [case(3, 4, 2), case(1, 2, 3), case(4, 3, 3)]

EXERCISE = Exercise(
    number=29,
    name="rnn_step",
    title="one step of a recurrent network",
    parts=[
        Values(
            "rnn_step_forward",
            lambda x, prev_h, Wx, Wh, b: np.tanh(x @ Wx + prev_h @ Wh + b),
            CASES,
            ("next_h", "cache"),
            slips=[
                Slip(lambda x, h, Wx, Wh, b: x @ Wx + h @ Wh + b, "the tanh is missing."),
                Slip(lambda x, h, Wx, Wh, b: np.tanh(x @ Wx + b), "the state prev_h is not used."),
                Slip(lambda x, h, Wx, Wh, b: np.tanh(x @ Wx + h @ Wh), "the bias b is not added."),
                Slip(lambda x, h, Wx, Wh, b: np.tanh(x @ Wx + h @ Wh.T + b), "Wh is transposed. Use prev_h @ Wh."),
            ],
        ),
        Gradients(("rnn_step_forward", "rnn_step_backward"), CASES),
    ],
    hints=(
        "A step is an affine layer with two inputs, followed by tanh. Go back through the tanh first.",
        "da = dnext_h * (1 - next_h**2). Each product gives two gradients, as in the affine exercise; db is the sum "
        "over the rows.",
        "In every step, the gradient of the state is multiplied by Wh.T and by the derivative of tanh, which is at "
        "most 1. That is why this gradient can vanish over many steps.",
    ),
    reading="nnscratch/layers/rnn_cell.py; the derivation: docs/derivations/rnn.md",
    mistakes=[
        Mistake("dprev_h = da @ Wh.T", "dprev_h = da @ Wh", "transposed"),
        Mistake("da = dnext_h * (1 - next_h**2)", "da = dnext_h", "activation's derivative missing"),
        Mistake("db = da.sum(axis=0)", "db = da.mean(axis=0)", "scaled by a constant"),
        Mistake(
            "next_h = np.tanh(x @ Wx + prev_h @ Wh + b)", "next_h = np.tanh(x @ Wx + b)", "the state prev_h is not used"
        ),
    ],
)
