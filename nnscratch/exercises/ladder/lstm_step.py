"""Exercise 31: one step of an LSTM."""

import numpy as np

from ..exercise import Exercise, Gradients, Mistake, Slip, Values, normal


def case(N, D, H):
    return normal((N, D), (N, H), (N, H), (D, 4 * H), (H, 4 * H), (4 * H,))


def sigmoid(x):
    return np.tanh(x / 2) / 2 + 0.5


def values(order="ifog", squash=np.tanh, out=np.tanh):
    def step(x, prev_h, prev_c, Wx, Wh, b):
        gates = dict(zip(order, np.split(x @ Wx + prev_h @ Wh + b, 4, axis=1), strict=True))
        next_c = sigmoid(gates["f"]) * prev_c + sigmoid(gates["i"]) * squash(gates["g"])
        return sigmoid(gates["o"]) * out(next_c), next_c

    return step


CASES = [case(3, 4, 2), case(1, 2, 3), case(4, 3, 3)]

EXERCISE = Exercise(
    number=31,
    name="lstm_step",
    title="one step of an LSTM: four gates, a state and a cell state",
    parts=[
        Values(
            "lstm_step_forward",
            values(),
            CASES,
            ("next_h", "next_c", "cache"),
            slips=[
                Slip(values("ifgo"), "the gates are in PyTorch's order i, f, g, o. Use i, f, o, g."),
                Slip(values("fiog"), "the input gate and the forget gate are exchanged."),
                Slip(values(squash=sigmoid), "g must be a tanh, not a sigmoid."),
                Slip(values(out=lambda c: c), "next_h needs tanh(next_c)."),
            ],
        ),
        Gradients(("lstm_step_forward", "lstm_step_backward"), CASES),
    ],
    hints=(
        "np.split(a, 4, axis=1) gives the four gates. Save i, f, o, g and next_c: you can compute all derivatives from "
        "these values.",
        "Begin with dc = dnext_c + dnext_h * o * (1 - tanh(next_c)**2). Each gate is a factor of a product: f * "
        "prev_c, i * g, or o * tanh(next_c). So its gradient is the gradient of the product, times the other factor. "
        "Multiply it by the derivative of the sigmoid, such as i * (1 - i), or by the derivative of tanh for g. Join "
        "the four results with np.concatenate. Then continue as in rnn_step.",
        "In dprev_c = dc * f, an open forget gate (f near 1) passes the gradient nearly unchanged. That is why this "
        "gradient vanishes more slowly than in rnn_step.",
    ),
    reading="nnscratch/layers/lstm_cell.py; the derivation: docs/derivations/lstm.md",
    mistakes=[
        Mistake("dc = dnext_c + dnext_h * o * (1 - t**2)", "dc = dnext_h * o * (1 - t**2)", "path missing"),
        Mistake("dc = dnext_c + dnext_h * o * (1 - t**2)", "dc = dnext_c", "path missing"),
        Mistake(
            "np.split(a, 4, axis=1)\n    i, f, o, g =",
            "np.split(a, 4, axis=1)\n    ao, ag = ag, ao\n    i, f, o, g =",
            "PyTorch's order",
        ),
        Mistake("np.tanh(ag)", "sigmoid(ag)", "g must be a tanh"),
        Mistake("dprev_c = dc * f", "dprev_c = dc", "a factor missing"),
    ],
)
