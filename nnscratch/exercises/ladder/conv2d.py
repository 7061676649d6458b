"""Exercise 21: convolution of images, with stride and padding."""

import numpy as np

from ..exercise import Exercise, Gradients, Mistake, Slip, Values


def case(x, w, stride, pad):
    def draw(rng):
        return rng.normal(size=x), rng.normal(size=w), rng.normal(size=w[0]), {"stride": stride, "pad": pad}

    return draw


def values(flip=False, bias=True, stride=None, padded=True):
    def convolution(x, w, b, param):
        s, p = stride or param["stride"], param["pad"] * padded
        windows = np.lib.stride_tricks.sliding_window_view(
            np.pad(x, ((0, 0), (0, 0), (p, p), (p, p))), w.shape[2:], (2, 3)
        )
        w = w[:, :, ::-1, ::-1] if flip else w
        return np.einsum("ncijuv,fcuv->nfij", windows[:, :, ::s, ::s], w) + bias * b[:, None, None]

    return convolution


CASES = [
    case((1, 2, 3, 4), (2, 2, 2, 2), 1, 1),
    case((1, 1, 5, 5), (2, 1, 3, 2), 2, 0),
    case((2, 1, 4, 4), (1, 1, 2, 2), 2, 1),
]

EXERCISE = Exercise(
    number=21,
    name="conv2d",
    title="convolution of images, with stride and padding",
    parts=[
        Values(
            "conv_forward_naive",
            values(),
            CASES,
            ("out", "cache"),
            slips=[
                Slip(values(flip=True), "the kernel is flipped. In neural networks, a convolution does not flip it."),
                Slip(values(bias=False), "the bias b is not added."),
                Slip(values(padded=False), "the padding is missing."),
            ],
        ),
        Gradients(("conv_forward_naive", "conv_backward_naive"), CASES),
    ],
    hints=(
        "np.pad(x, ((0, 0), (0, 0), (p, p), (p, p))) pads the last two axes. The window of output (i, j) starts at row "
        "i * s and column j * s of the padded image.",
        "A pixel can be part of several windows, so add to dxpad with +=. At the end, remove the padding. db is the "
        "sum of dout over all axes except the second.",
        "Fast implementations copy all windows into one matrix (im2col). Then the convolution is one product of "
        "matrices. Backward adds the windows back into an image (col2im).",
    ),
    reading="nnscratch/layers/conv2d.py and windows.py; the derivation: docs/derivations/convolution.md",
    mistakes=[
        Mistake("db = dout.sum(axis=(0, 2, 3))", "db = dout.mean(axis=(0, 2, 3))", "scaled by a constant"),
        Mistake(", w) + b\n", ", w)\n", "the bias b is not added"),
        Mistake("dx = dxpad[:, :, p : dxpad.shape[2] - p, p : dxpad.shape[3] - p]", "dx = dxpad", "shape"),
        Mistake("            dw += np", "            dw = np", "only the last round of the loop counted"),
    ],
)
