"""Exercise 22: max pooling, with windows that may overlap."""

import numpy as np

from ..exercise import Exercise, Gradients, Mistake, Slip, Values


def case(shape, height, width, stride):
    def draw(rng):
        x = 0.1 * rng.permutation(int(np.prod(shape))).reshape(shape)  # no two pixels are equal
        return x - x.mean(), {"pool_height": height, "pool_width": width, "stride": stride}

    return draw


def values(reduce):
    def pool(x, param):
        size, s = (param["pool_height"], param["pool_width"]), param["stride"]
        windows = np.lib.stride_tricks.sliding_window_view(x, size, (2, 3))[:, :, ::s, ::s]
        return reduce(windows, axis=(4, 5))

    return pool


CASES = [case((2, 2, 4, 4), 2, 2, 2), case((1, 2, 5, 4), 3, 2, 1), case((2, 1, 5, 5), 3, 3, 2)]

EXERCISE = Exercise(
    number=22,
    name="max_pool",
    title="max pooling, with windows that may overlap",
    parts=[
        Values(
            "max_pool_forward_naive",
            values(np.max),
            CASES,
            ("out", "cache"),
            slips=[
                Slip(values(np.mean), "this is the mean of each window. Take the largest pixel."),
                Slip(values(np.min), "this is the smallest pixel of each window. Take the largest."),
            ],
        ),
        Gradients(("max_pool_forward_naive", "max_pool_backward_naive"), CASES),
    ],
    hints=(
        "In backward, compare the window with its largest pixel: window == out[:, :, i, j, None, None] is True at the "
        "pixel that gets the gradient.",
        "Add largest * dout[:, :, i, j, None, None] to the window of dx with +=, because windows may overlap.",
        "If two pixels share the largest value of a window, the function has a kink. Libraries pass the gradient to "
        "the first of these pixels.",
    ),
    reading="nnscratch/layers/max_pool2d.py; the derivation: docs/derivations/convolution.md",
    mistakes=[
        Mistake("] += largest", "] = largest", "rows met twice counted once"),
        Mistake("largest * dout[:, :, i, j, None, None]", "largest * 1.0", "upstream gradient missing"),
        Mistake(".max(axis=(2, 3))", ".mean(axis=(2, 3))", "this is the mean of each window"),
    ],
)
