"""Exercise 33: the softmax loss over time, with a mask."""

import numpy as np

from ..exercise import Exercise, Gradients, Mistake, Slip, Values


def case(N, T, V):
    def draw(rng):
        mask = rng.random((N, T)) < 0.6
        mask[0, :2] = True, False
        return rng.normal(size=(N, T, V)), rng.integers(0, V, (N, T)), mask

    return draw


def values(masked=True, divide=lambda x, mask: len(x)):
    def loss(x, y, mask):
        x = x - x.max(axis=2, keepdims=True)
        log_p = x - np.log(np.exp(x).sum(axis=2, keepdims=True))
        chosen = np.take_along_axis(log_p, y[:, :, None], axis=2)[:, :, 0]
        return -(chosen * (mask if masked else 1)).sum() / divide(x, mask)

    return loss


CASES = [case(3, 4, 5), case(2, 3, 4), case(4, 2, 3)]

EXERCISE = Exercise(
    number=33,
    name="masked_loss",
    title="the loss of a sentence, without its padding",
    parts=[
        Values(
            "temporal_softmax_loss",
            values(),
            CASES,
            ("loss", "dx"),
            slips=[
                Slip(values(masked=False), "the mask is not used: the padding counts."),
                Slip(
                    values(divide=lambda x, mask: mask.sum()), "the sum is divided by the number of words. Divide by N."
                ),
                Slip(values(divide=lambda x, mask: mask.size), "the sum is divided by N * T. Divide by N."),
                Slip(values(divide=lambda x, mask: 1), "the sum is not divided by N."),
            ],
        ),
        Gradients(("temporal_softmax_loss",), CASES),
    ],
    hints=(
        "You can reshape x to (N * T, V), and both y and mask to (N * T,). Then begin as in softmax_loss.",
        "Multiply the term of each word by its mask before you add up the terms. In dx, the mask needs one more axis: "
        "mask[:, :, None].",
        "The package's CrossEntropyLoss has the argument ignore_index for padding. It divides by the number of words "
        "that are not padding.",
    ),
    reading="nnscratch/losses/cross_entropy.py; the derivation: docs/derivations/softmax-cross-entropy.md",
    mistakes=[
        Mistake("-(mask * log_p[n, t, y]).sum() / N", "-(log_p[n, t, y]).sum() / N", "the padding counts"),
        Mistake("-(mask * log_p[n, t, y]).sum() / N", "-(mask * log_p[n, t, y]).sum() / mask.sum()", "number of words"),
        Mistake("dx *= mask[:, :, None] / N", "dx /= N", "mask not applied"),
        Mistake("dx *= mask[:, :, None] / N", "dx *= mask[:, :, None]", "scaled by a constant"),
    ],
)
