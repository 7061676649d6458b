"""The settings of a run of ``nnscratch train``, their defaults, and the settings of published models."""

from __future__ import annotations

import dataclasses
import json
import zlib
from typing import Any

from . import optim
from .checks import count, finite, one_of, positive_int, short

MAX_STEPS = 10**12  # more steps than any run makes, and an integer that a float holds exactly
MAX_LAYERS = 1000  # more layers than any run has: the construction of 10**9 layers would not end
PATHS = ("source", "valid", "test")
OPTIMIZERS = {"adam": optim.Adam, "sgd": optim.SGD}
UNIT = {"char": "bpc", "word": "perplexity", "split": "perplexity", "bpe": "loss"}  # for the progress bar and the plot
CHOICES = {"level": tuple(UNIT), "cell": ("lstm", "gru", "rnn", "transformer"), "optimizer": tuple(OPTIMIZERS)}


@dataclasses.dataclass
class Config:
    """The settings of a run.

    `source` is a path, ``austen:TITLE`` for a text of the package, or ``austen:six`` for all six novels in their fixed
    split. If `valid` and `test` are given, the whole of `source` is for training.
    """

    source: str
    valid: str | None = None
    test: str | None = None
    level: str = "char"
    cell: str = "lstm"  # or "gru", "rnn", "transformer"; a transformer has `hidden` features and does not use `embed`
    heads: int = 4  # attention heads of a transformer
    embed: int = 64
    hidden: int = 256
    layers: int = 1
    dropout: float = 0.0
    tie: bool = False
    vocab: int = 10_000
    batch: int = 16
    seq_len: int = 64
    optimizer: str = "adam"
    lr: float = 8e-3
    clip: float = 5.0
    hold: float | None = None  # epochs at the full learning rate, or None for a cosine that ends at 0
    decay: float = 1.0  # after `hold` epochs, each epoch multiplies the rate by this
    init: float | None = None  # all weights uniform in [-init, init], or None for each layer's default
    epochs: float | None = None
    steps: int | None = None
    patience: int | None = None
    seed: int = 0
    sha256: str = ""

    def check(self) -> None:
        """Raise ValueError if a setting has the wrong type, or is out of range. The settings may come from a file."""
        for field in dataclasses.fields(self):
            value, (kind, *none) = getattr(self, field.name), field.type.split(" | ")
            if not (value is None and none):
                _check_value(field.name, value, kind)
        for name, known in CHOICES.items():
            one_of(name, getattr(self, name), known)
        if self.layers > MAX_LAYERS:
            raise ValueError(f"layers must be at most {MAX_LAYERS:,}, got {self.layers}")


def checksum(settings: dict[str, Any]) -> str:
    """Return a checksum of all settings except the paths of the text, which you may move."""
    kept = {name: value for name, value in settings.items() if name not in PATHS}
    return f"{zlib.crc32(json.dumps(kept, sort_keys=True).encode()):08x}"


def _check_value(name: str, value: Any, kind: str) -> None:
    """Raise unless `value` is of this kind. An integer must be 1 or more, but a seed may be 0."""
    if kind == "str" and not isinstance(value, str):
        raise ValueError(f"{name} must be a string, got {short(value)}")
    if kind == "bool" and not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false, got {short(value)}")
    if kind == "float":
        finite(name, value)
    if name == "seed":
        count(name, value)
    elif kind == "int" and positive_int(name, value) > MAX_STEPS:
        raise ValueError(f"{name} must be at most {MAX_STEPS:,}, got {short(value)}")


DEFAULTS: dict[str, dict[str, Any]] = {
    "char": {"epochs": 6.0},
    "bpe": {"vocab": 2000, "embed": 128, "epochs": 6.0, "dropout": 0.2, "lr": 4e-3},
    "word": {"embed": 256, "hidden": 256, "layers": 1, "dropout": 0.5, "tie": True, "batch": 20, "seq_len": 35}
    | {"lr": 2e-3, "epochs": 10.0, "patience": 3},
}
DEFAULTS["split"] = DEFAULTS["word"]
TRANSFORMER: dict[str, Any] = {"hidden": 128, "layers": 4, "batch": 8, "seq_len": 64, "lr": 3e-3, "clip": 1.0}


def zaremba(hidden: int, seq_len: int, dropout: float, init: float, clip: float, hold: int, decay: float, epochs: int):
    """Return the settings of a model of the paper below: two layers, batch 20, plain SGD with a learning rate of 1.

    The paper sums the loss over the time steps of a batch, and this package takes the mean. To get the same weights
    after each step, the learning rate is multiplied by seq_len and the clipping norm is divided by it.

    Reference: Zaremba, Sutskever and Vinyals (2014), "Recurrent neural network regularization", arXiv:1409.2329.
    """
    sizes = {"level": "split", "embed": hidden, "hidden": hidden, "layers": 2, "batch": 20, "seq_len": seq_len}
    rates = {"optimizer": "sgd", "lr": 1.0 * seq_len, "clip": clip / seq_len, "hold": hold, "decay": decay}
    return sizes | rates | {"dropout": dropout, "init": init, "epochs": epochs, "patience": None, "tie": False}


PRESETS: dict[str, dict[str, Any]] = {
    "zaremba-small": zaremba(200, 20, 0.0, init=0.1, clip=5, hold=4, decay=1 / 2, epochs=13),
    "zaremba-medium": zaremba(650, 35, 0.5, init=0.05, clip=5, hold=6, decay=1 / 1.2, epochs=39),
    "zaremba-large": zaremba(1500, 35, 0.65, init=0.04, clip=10, hold=14, decay=1 / 1.15, epochs=55),
}
