"""Typical mistakes in backward passes, each with the name that the diagnosis should give it.

``python -m benchmarks.mistakes`` checks all of them and writes docs/gradcheck/planted-mistakes.md.
"""

from __future__ import annotations

from . import (
    activation,
    convolution,
    dropout,
    embedding,
    forms,
    gru,
    held_out,
    kinds,
    linear,
    loss,
    lstm,
    normalisation,
    rnn,
)
from .planted import Outcome, Planted

AREAS = {
    "linear": linear,
    "activation": activation,
    "loss": loss,
    "convolution": convolution,
    "embedding": embedding,
    "normalisation": normalisation,
    "dropout": dropout,
    "RNN": rnn,
    "GRU": gru,
    "LSTM": lstm,
}


def all_mistakes() -> list[Planted]:
    """Return every planted mistake, in the order of the areas. Those of `forms` take minutes and come last."""
    found = []
    for area, module in AREAS.items():
        for planted in module.MISTAKES:
            planted.area = area
            found.append(planted)
    return found + kinds.MISTAKES + held_out.MISTAKES + forms.MISTAKES


def all_correct() -> list[tuple]:
    """Return (area, target, inputs, options) of the same code without the mistakes."""
    return [(area, *case) for area, module in AREAS.items() for case in module.CORRECT] + (
        kinds.CORRECT + held_out.CORRECT + forms.CORRECT
    )


__all__ = ["AREAS", "Outcome", "Planted", "all_correct", "all_mistakes", "forms"]
