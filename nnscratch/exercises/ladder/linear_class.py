"""Exercise 6: a layer as a class, in CMU's form."""

import numpy as np

from ..exercise import Exercise, Gradients, Mistake, Slip, Values, given, normal

CASES = [normal((3, 4), (2, 4), (2, 1)), normal((2, 3), (3, 3), (3, 1)), normal((5, 2), (4, 2), (4, 1))]


def made(sizes):
    return np.zeros(sizes[::-1]), np.zeros((sizes[1], 1))


EXERCISE = Exercise(
    number=6,
    name="linear_class",
    title="the fully connected layer as a class that holds its parameters",
    parts=[
        Values("driver:Linear.__init__", made, [given([3, 2])], ("self.W", "self.b")),
        Values(
            "driver:Linear.forward",
            lambda A, W, b: A @ W.T + b.T,
            CASES,
            ("Z", "layer"),
            slips=[Slip(lambda A, W, b: A @ W.T, "the bias self.b is not added.")],
        ),
        Gradients(("driver:Linear.forward", "driver:Linear.backward"), CASES),
    ],
    hints=(
        "b is a column (out_features, 1), and Z has one row for each example. b.T is a row, which NumPy broadcasts "
        "over all examples.",
        "dLdA = dLdZ @ self.W needs no transposition, because W is (out, in). dLdW is dLdZ.T @ self.A. For dLdb, sum "
        "dLdZ over axis 0 and make it a column: reshape(-1, 1).",
        "An object that saves only its last input works if each backward comes directly after its forward. A layer "
        "that is used twice before backward needs a stack of inputs, as in the Module class of the package.",
    ),
    reading="nnscratch/module.py, which describes the methods of a layer; docs/derivations/linear.md",
    mistakes=[
        Mistake(
            "self.W = np.zeros((out_features, in_features))", "self.W = np.zeros((in_features, out_features))", "shape"
        ),
        Mistake("self.dLdW = dLdZ.T @ self.A", "self.dLdW = dLdZ.T @ self.A / len(self.A)", "scaled by a constant"),
        Mistake("self.dLdb = dLdZ.sum(axis=0).reshape(-1, 1)", "self.dLdb = dLdZ.sum(axis=0)", "shape"),
        Mistake("Z = A @ self.W.T + self.b.T", "Z = A @ self.W.T", "the bias self.b is not added"),
    ],
)
