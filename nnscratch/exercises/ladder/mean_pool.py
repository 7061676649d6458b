"""Exercise 23: mean pooling with stride 1."""

import numpy as np

from ..exercise import Exercise, Gradients, Mistake, Slip, Values


def case(shape, kernel):
    return lambda rng: (rng.normal(size=shape), kernel)


def values(reduce):
    def pool(A, kernel):
        return reduce(np.lib.stride_tricks.sliding_window_view(A, (kernel, kernel), (2, 3)), axis=(4, 5))

    return pool


CASES = [case((2, 2, 4, 5), 2), case((1, 3, 5, 4), 3), case((3, 1, 3, 3), 2)]

EXERCISE = Exercise(
    number=23,
    name="mean_pool",
    title="mean pooling, as a class",
    parts=[
        Values(
            "driver:MeanPool2d_stride1.forward",
            values(np.mean),
            CASES,
            ("Z", "layer"),
            slips=[
                Slip(values(np.max), "this is the largest pixel of each window. Take the mean."),
                Slip(values(np.sum), "this is the sum of each window. Divide it by the number of its pixels, k * k."),
                Slip(lambda A, k: values(np.sum)(A, k) / k, "the sum is divided by k. A window has k * k pixels."),
            ],
        ),
        Gradients(("driver:MeanPool2d_stride1.forward", "driver:MeanPool2d_stride1.backward"), CASES),
    ],
    hints=(
        "Loop over the positions i, j of the output. The window is A[:, :, i : i + k, j : j + k].",
        "In backward, loop in the same way and add dLdZ[:, :, i, j, None, None] / k**2 to the whole window, with +=.",
        "Mean pooling is a convolution of each channel with a kernel whose elements are all 1 / k**2.",
    ),
    reading="nnscratch/layers/avg_pool2d.py; the derivation: docs/derivations/convolution.md",
    mistakes=[
        Mistake("] += dLdZ", "] = dLdZ", "rows met twice counted once"),
        Mistake("None, None] / k**2", "None, None]", "scaled by a constant"),
        Mistake(".mean(axis=(2, 3))", ".max(axis=(2, 3))", "this is the largest pixel"),
        Mistake(".mean(axis=(2, 3))", ".sum(axis=(2, 3))", "this is the sum of each window"),
    ],
)
