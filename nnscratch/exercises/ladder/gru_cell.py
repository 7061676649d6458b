"""Exercise 32: a cell of a GRU, in CMU 11-785's form."""

import numpy as np

from ..exercise import Exercise, Gradients, Mistake, Slip, Values, normal


def case(D, H):
    return normal((D,), (H,), *[(H, D)] * 3, *[(H, H)] * 3, *[(H,)] * 6)


def sigmoid(x):
    return np.tanh(x / 2) / 2 + 0.5


def new_state(nx, h, W, b, r):
    return np.tanh(nx + r * (W @ h + b))


def cell(new=new_state, mix=lambda z, n, h: (1 - z) * n + z * h):
    def step(x, h_prev_t, Wrx, Wzx, Wnx, Wrh, Wzh, Wnh, brx, bzx, bnx, brh, bzh, bnh):
        h = h_prev_t
        r = sigmoid(Wrx @ x + brx + Wrh @ h + brh)
        z = sigmoid(Wzx @ x + bzx + Wzh @ h + bzh)
        return mix(z, new(Wnx @ x + bnx, h, Wnh, bnh, r), h)

    return step


CASES = [case(3, 2), case(2, 3), case(4, 2)]

EXERCISE = Exercise(
    number=32,
    name="gru_cell",
    title="one step of a GRU: reset gate, update gate, new state",
    parts=[
        Values(
            "driver:GRUCell.forward",
            cell(),
            CASES,
            ("h_t", "layer"),
            slips=[
                Slip(
                    cell(mix=lambda z, n, h: z * n + (1 - z) * h),
                    "z and 1 - z are exchanged. z must multiply the old state.",
                ),
                Slip(
                    cell(lambda nx, h, W, b, r: np.tanh(nx + W @ (r * h) + b)),
                    "r multiplies h before Wnh. It must multiply Wnh h + bnh.",
                ),
                Slip(
                    cell(lambda nx, h, W, b, r: np.tanh(nx + r * (W @ h) + b)),
                    "bnh is outside the product with r. It must be r * (Wnh h + bnh).",
                ),
                Slip(cell(lambda nx, h, W, b, r: np.tanh(nx + W @ h + b)), "the reset gate r is not used."),
                Slip(cell(lambda nx, h, W, b, r: sigmoid(nx + r * (W @ h + b))), "n must be a tanh, not a sigmoid."),
            ],
        ),
        Gradients(("driver:GRUCell.forward", "driver:GRUCell.backward"), CASES),
    ],
    hints=(
        "Save r, z, n and Wnh h + bnh. Backward needs Wnh h + bnh for the gradient of r.",
        "Begin with the gradients before the tanh and the sigmoids: dn = delta * (1 - z) * (1 - n**2), dz = delta * "
        "(h - n) * z * (1 - z), and dr = dn * (Wnh h + bnh) * r * (1 - r). Each weight's gradient is np.outer of one "
        "of these with x or h. Wnh and bnh get dn * r.",
        "Where z is near 1, the state is copied and the gradient passes unchanged, as in an LSTM with an open forget "
        "gate. A GRU does this with one state and two gates.",
    ),
    reading="nnscratch/layers/gru_cell.py; the derivation: docs/derivations/gru.md",
    mistakes=[
        Mistake("h_t = (1 - z) * n + z * h_prev_t", "h_t = z * n + (1 - z) * h_prev_t", "z and 1 - z are exchanged"),
        Mistake("r * from_h)", "self.Wnh @ (r * h_prev_t) + self.bnh)", "r multiplies h before Wnh"),
        Mistake("self.Wnh.T @ dfrom_h + delta * z", "self.Wnh.T @ dfrom_h", "path missing"),
        Mistake("dz = delta * (h - n) * z * (1 - z)", "dz = delta * (n - h) * z * (1 - z)", "sign flipped"),
        Mistake("dfrom_h = dn * r", "dfrom_h = dn", "a factor missing"),
        Mistake("dr = dn * from_h * r * (1 - r)", "dr = dn * from_h", "activation's derivative missing"),
    ],
)
