"""Exercise 24: upsampling of sequences, by inserting zeros."""

import numpy as np

from ..exercise import Exercise, Gradients, Mistake, Slip, Values


def case(N, C, W, factor):
    return lambda rng: (rng.normal(size=(N, C, W)), factor)


def values(A, factor):
    Z = np.zeros((*A.shape[:2], factor * (A.shape[2] - 1) + 1))
    Z[:, :, ::factor] = A
    return Z


CASES = [case(2, 3, 4, 2), case(1, 2, 5, 3), case(3, 1, 3, 4)]

EXERCISE = Exercise(
    number=24,
    name="upsample",
    title="make a sequence longer by inserting zeros",
    parts=[
        Values(
            "driver:Upsample1d.forward",
            values,
            CASES,
            ("Z", "layer"),
            slips=[
                Slip(
                    lambda A, k: np.pad(values(A, k), ((0, 0), (0, 0), (0, k - 1))),
                    "there are zeros after the last element. Z has k * (W - 1) + 1 elements.",
                ),
                Slip(lambda A, k: A.repeat(k, axis=2), "this repeats every element. Insert zeros instead."),
            ],
        ),
        Gradients(("driver:Upsample1d.forward", "driver:Upsample1d.backward"), CASES),
    ],
    hints=(
        "Z[:, :, ::k] selects every k-th element of the last axis, beginning with the first. You can assign an array "
        "to this selection.",
        "Backward selects the same elements: dLdZ[:, :, ::k]. The inserted zeros do not depend on A.",
        "The package's Upsample repeats elements instead of inserting zeros. So its backward adds up k gradients for "
        "each element.",
    ),
    reading="nnscratch/layers/upsample.py; the derivation: docs/derivations/convolution.md",
    mistakes=[
        Mistake("Z = np.zeros((N, C, k * (W - 1) + 1))", "Z = np.zeros((N, C, k * W))", "zeros after the last element"),
        Mistake(
            "        Z = np.zeros((N, C, k * (W - 1) + 1))\n        Z[:, :, ::k] = A\n",
            "        Z = A.repeat(k, axis=2)\n",
            "this repeats every element",
        ),
        Mistake("dLdA = dLdZ[:, :, :: self.upsampling_factor]", "dLdA = dLdZ", "shape"),
        Mistake(
            "dLdA = dLdZ[:, :, :: self.upsampling_factor]",
            "dLdA = dLdZ[:, :, :: self.upsampling_factor] / self.upsampling_factor",
            "scaled by a constant",
        ),
    ],
)
