"""Exercise 3: a weight that is used twice gets the sum of two gradients."""

import numpy as np

from ..exercise import Exercise, Gradients, Mistake, Slip, Values, normal

CASES = [normal((3, 4), (4,)), normal((1, 2), (2,)), normal((5, 3), (3,))]

EXERCISE = Exercise(
    number=3,
    name="one_weight_twice",
    title="a weight that is used twice gets two gradients",
    parts=[
        Values(
            "twice_forward",
            lambda x, w: w * np.tanh(w * x),
            CASES,
            ("out", "cache"),
            slips=[Slip(lambda x, w: np.tanh(w * x), "this is h. One step is missing: out = w * h.")],
        ),
        Gradients(("twice_forward", "twice_backward"), CASES),
    ],
    hints=(
        "Name the intermediate values: u = w * x, h = tanh(u), out = w * h. Go back one step at a time: dh from dout, "
        "du from dh, then dx and the two parts of dw.",
        "dh = dout * w and du = dh * (1 - h**2). The first part of dw is dout * h, the second is du * x. Add them, and "
        "sum over the rows with .sum(axis=0), since w is used in every row.",
        "A recurrent network uses its weights at every time step, so the gradient of each weight is a sum over all "
        "steps. That is why the layers of the package add to the gradient: `parameter.grad += ...`.",
    ),
    reading="the derivation of a recurrent network: docs/derivations/rnn.md",
    mistakes=[
        Mistake("dw = (dout * h + du * x).sum(axis=0)", "dw = (dout * h).sum(axis=0)", "path missing"),
        Mistake("dw = (dout * h + du * x).sum(axis=0)", "dw = (du * x).sum(axis=0)", "path missing"),
        Mistake("dw = (dout * h + du * x).sum(axis=0)", "dw = dout * h + du * x", "shape"),
        Mistake("    out = w * h\n    cache", "    out = h\n    cache", "One step is missing"),
        Mistake(
            "dw = (dout * h + du * x).sum(axis=0)", "dw = (dout * h + du * x).mean(axis=0)", "scaled by a constant"
        ),
    ],
)
