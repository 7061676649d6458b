"""Exercise 30: backpropagation through time, and its truncation."""

import numpy as np

from ..exercise import Exercise, Gradients, Mistake, Slip, Values, normal


def case(N, T, D, H):
    return normal((N, T, D), (N, H), (D, H), (H, H), (H,))


def truncated_case(N, T, D, H, steps):
    draw = normal((N, T, D), (N, H), (D, H), (H, H), (H,), (N, T, H))
    return lambda rng: (*draw(rng), steps)


def states(x, h0, Wx, Wh, b, prev=lambda h, h0: h):
    h, found = h0, []
    for t in range(x.shape[1]):
        h = np.tanh(x[:, t] @ Wx + prev(h, h0) @ Wh + b)
        found.append(h)
    return np.stack(found, axis=1)


def truncated(carried=lambda h, h0: h, stops=lambda t, steps: t % steps == 0, counted=lambda t, T, steps: True):
    """Return a version of rnn_truncated. With the default arguments, it is right; other arguments add mistakes."""

    def run(x, h0, Wx, Wh, b, dh, steps):
        T, h, before, found = x.shape[1], h0, [], []
        for t in range(T):
            h = carried(h, h0) if t % steps == 0 else h
            before.append(h)
            h = np.tanh(x[:, t] @ Wx + h @ Wh + b)
            found.append(h)
        dWx, dWh, db, dnext = 0, 0, 0, 0
        for t in reversed(range(T)):
            da = (dh[:, t] + dnext) * (1 - found[t] ** 2)
            dnext = 0 if stops(t, steps) else da @ Wh.T
            if counted(t, T, steps):
                dWx, dWh, db = dWx + x[:, t].T @ da, dWh + before[t].T @ da, db + da.sum(axis=0)
        return np.stack(found, axis=1), dWx, dWh, db

    return run


def last_piece(t, T, steps):
    return t >= (T - 1) // steps * steps


CASES = [case(2, 3, 4, 2), case(1, 4, 2, 3), case(3, 2, 3, 3)]
TRUNCATED_CASES = [truncated_case(2, 6, 4, 2, 3), truncated_case(1, 5, 2, 3, 2), truncated_case(3, 4, 3, 3, 3)]

EXERCISE = Exercise(
    number=30,
    name="rnn_bptt",
    title="backpropagation through time, whole and truncated",
    parts=[
        Values(
            "rnn_forward",
            states,
            CASES,
            ("h", "cache"),
            slips=[
                Slip(
                    lambda *inputs: states(*inputs, prev=lambda h, h0: h0),
                    "every step uses h0. It must use the state of the previous step.",
                ),
                Slip(
                    lambda *inputs: states(*inputs, prev=lambda h, h0: 0 * h0),
                    "the steps are not connected. Each step must use the state of the previous step.",
                ),
                Slip(lambda x, h0, *w: states(x, 0 * h0, *w), "h0 is not used. It is the state before the first step."),
            ],
        ),
        Gradients(("rnn_forward", "rnn_backward"), CASES),
        Values(
            "rnn_truncated",
            truncated(),
            TRUNCATED_CASES,
            ("h", "dWx", "dWh", "db"),
            slips=[
                Slip(
                    truncated(stops=lambda t, steps: False),
                    "the gradient passes from each piece to the previous piece. It must stop at the start of a piece.",
                ),
                Slip(
                    truncated(carried=lambda h, h0: 0 * h0),
                    "each piece begins with zeros. It must begin with the last state of the previous piece.",
                ),
                Slip(
                    truncated(carried=lambda h, h0: h0),
                    "each piece begins with h0. It must begin with the last state of the previous piece.",
                ),
                Slip(truncated(counted=last_piece), "the gradients are those of the last piece. Add up all pieces."),
                Slip(
                    truncated(stops=lambda t, steps: True),
                    "the gradient stops after every single step. Within a piece, it must pass through all steps.",
                ),
            ],
        ),
    ],
    hints=(
        "Use a loop over range(T) in forward, and a loop over reversed(range(T)) in backward. Keep the gradient that "
        "comes from the next step in a variable. Before the loop, set this variable to zeros.",
        "In backward: da = (dh[:, t] + dnext) * (1 - h[:, t]**2), dnext = da @ Wh.T, dWx += x[:, t].T @ da, and in the "
        "same way dWh and db. rnn_truncated is a loop over range(0, T, steps) that calls your two functions.",
        "A truncated gradient is not the gradient of the loss, because it ignores that a state also affects the loss "
        "of later pieces. So finite differences cannot confirm it. Still, recurrent language models are trained with "
        "it.",
    ),
    reading="nnscratch/layers/unrolled.py; the derivation: docs/derivations/rnn.md",
    mistakes=[
        Mistake("da = (dh[:, t] + dnext)", "da = dh[:, t]", "path missing"),
        Mistake("dWh += prev_h.T @ da", "dWh = prev_h.T @ da", "only the first time step counted"),
        Mistake("prev_h = h[:, t - 1] if t > 0 else h0", "prev_h = h[:, t]", "The gradient of Wh is not right"),
        Mistake("+ state @ Wh + b)", "+ h0 @ Wh + b)", "every step uses h0"),
        Mistake("        h0 = h[:, -1]\n", "", "each piece begins with h0"),
        Mistake(
            "dWx, dWh, db = dWx + dWx_piece, dWh + dWh_piece, db + db_piece",
            "dWx, dWh, db = dWx_piece, dWh_piece, db_piece",
            "the gradients are those of the last piece",
        ),
        Mistake(
            "for start in range(0, x.shape[1], steps):",
            "for steps in [x.shape[1]]:\n        start = 0",
            "It must stop at the start of a piece",
        ),
    ],
)
