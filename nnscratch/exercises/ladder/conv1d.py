"""Exercise 20: convolution of sequences, in CMU's form."""

import numpy as np

from ..exercise import Exercise, Gradients, Mistake, Slip, Values, normal


def values(A, W, b, flip=False):
    windows = np.lib.stride_tricks.sliding_window_view(A, W.shape[2], axis=2)
    return np.einsum("ncik,ock->noi", windows, W[:, :, ::-1] if flip else W) + b[:, None]


def case(N, C, L, F, K):
    return normal((N, C, L), (F, C, K), (F,))


CASES = [case(2, 2, 6, 3, 3), case(1, 3, 5, 2, 2), case(3, 1, 4, 2, 3)]

EXERCISE = Exercise(
    number=20,
    name="conv1d",
    title="convolution of sequences, as a class",
    parts=[
        Values(
            "driver:Conv1d_stride1.forward",
            values,
            CASES,
            ("Z", "layer"),
            slips=[
                Slip(
                    lambda A, W, b: values(A, W, b, flip=True),
                    "the kernel is flipped. Multiply W[o, c, k] by A[n, c, i + k].",
                ),
                Slip(lambda A, W, b: values(A, W, 0 * b), "the bias self.b is not added."),
            ],
        ),
        Gradients(("driver:Conv1d_stride1.forward", "driver:Conv1d_stride1.backward"), CASES),
    ],
    hints=(
        "For one k, A[:, :, k : k + size] is an array with element k of every window. Add the product of self.W[:, :, "
        "k] and this array to Z.",
        "dLdA gets contributions for every k, at shifted positions: add self.W[:, :, k].T @ dLdZ to "
        "dLdA[:, :, k : k + size]. dLdW[:, :, k] is a sum over examples and positions.",
        "Many libraries compute dLdA as a convolution of the padded dLdZ with the flipped kernel. The sum is the same.",
    ),
    reading="nnscratch/layers/conv1d.py; the derivation: docs/derivations/convolution.md",
    mistakes=[
        Mistake("] += self.W", "] = self.W", "rows met twice counted once"),
        Mistake(
            "self.dLdb = dLdZ.sum(axis=(0, 2))", "self.dLdb = dLdZ.sum(axis=0).mean(axis=1)", "scaled by a constant"
        ),
        Mistake(" + self.b[:, None]", "", "the bias self.b is not added"),
        Mistake("self.W[:, :, k] @ A", "self.W[:, :, -1 - k] @ A", "the kernel is flipped"),
        Mistake("self.dLdb = dLdZ.sum(axis=(0, 2))", "self.dLdb = dLdZ.sum(axis=0)", "shape"),
    ],
)
