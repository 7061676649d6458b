"""Exercise 5: the affine layer, for examples of any shape."""

from ..exercise import Exercise, Gradients, Mistake, Slip, Values, normal

CASES = [normal((3, 4), (4, 5), (5,)), normal((2, 3, 2), (6, 4), (4,)), normal((4, 2, 1, 3), (6, 2), (2,))]


def reference(x, w, b):
    return x.reshape(len(x), -1) @ w + b


EXERCISE = Exercise(
    number=5,
    name="affine",
    title="the fully connected layer, for examples of any shape",
    parts=[
        Values(
            "affine_forward",
            reference,
            CASES,
            ("out", "cache"),
            slips=[
                Slip(lambda x, w, b: reference(x, w, 0 * b), "the bias b is not added."),
                Slip(lambda x, w, b: reference(x, w, -b), "the bias b is subtracted. It must be added."),
            ],
        ),
        Gradients(("affine_forward", "affine_backward"), CASES),
    ],
    hints=(
        "x.reshape(x.shape[0], -1) flattens every example. A gradient always has the shape of its array. Often "
        "this shape tells you the order of the factors, and which of them to transpose.",
        "dx = dout @ w.T is (N, D): reshape it to x.shape. dw is the flat x, transposed, times dout. b is used in each "
        "row, so db is the sum of dout over axis 0.",
        "If the loss is a mean over the examples, 1/N is already in dout. A second 1/N in dw is a common mistake.",
    ),
    reading="nnscratch/layers/linear.py; the derivation: docs/derivations/linear.md",
    mistakes=[
        Mistake(
            "dw = x.reshape(x.shape[0], -1).T @ dout",
            "dw = x.reshape(x.shape[0], -1).T @ dout / x.shape[0]",
            "scaled by a constant",
        ),
        Mistake("db = dout.sum(axis=0)", "db = dout.mean(axis=0)", "scaled by a constant"),
        Mistake("db = dout.sum(axis=0)", "db = dout", "shape"),
        Mistake("dx = (dout @ w.T).reshape(x.shape)", "dx = dout @ w.T", "shape"),
        Mistake("@ w + b", "@ w", "the bias b is not added"),
        Mistake("dw = x.reshape(x.shape[0], -1).T @ dout", "dw = -x.reshape(x.shape[0], -1).T @ dout", "sign flipped"),
    ],
)
