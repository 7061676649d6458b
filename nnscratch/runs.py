"""A run: one language model trained on one text, and the folder that holds all of it.

    config.json             what was asked for, and the text's fingerprint
    tokenizer.json          the tokens
    checkpoint.safetensors  everything needed to go on, bit for bit
    model.safetensors       the weights that were best on the validation text
    history.json, loss.png  what was measured
    sample.txt              what the model writes

The text is cut at 90 % and at 95 %: the first part is learned from, the second says how well (validation), the third
(test) is touched only by ``nnscratch evaluate``.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from . import data, optim
from .generation import generate
from .losses import CrossEntropyLoss
from .models import LanguageModel
from .module import Module, positive_int
from .plotting import plot_history, save_figure
from .serialization import load, write_atomically
from .training import Checkpoint, EarlyStopping, ProgressBar, Trainer, evaluate, resume
from .training.callbacks import UNITS

AUSTEN_PREFIX = "austen:"
SAMPLE_CHARACTERS, SAMPLE_WORDS, SAMPLE_TEMPERATURE = 2000, 300, 0.8
PARTS = ("train", "valid", "test")


@dataclass
class Config:
    """What a run was asked for. `source` is a path, or ``austen:TITLE`` for a text of the package."""

    source: str
    level: str = "char"
    embed: int = 64
    hidden: int = 256
    layers: int = 1
    dropout: float = 0.0
    tie: bool = False
    vocab: int = 10_000
    batch: int = 16
    seq_len: int = 64
    lr: float = 8e-3
    clip: float = 5.0
    epochs: float | None = None
    steps: int | None = None
    patience: int | None = None
    seed: int = 0
    sha256: str = ""


DEFAULTS: dict[str, dict[str, Any]] = {
    "char": {"epochs": 6.0},
    "word": {"embed": 256, "hidden": 256, "layers": 1, "dropout": 0.5, "tie": True, "batch": 20, "seq_len": 35}
    | {"lr": 2e-3, "epochs": 10.0, "patience": 3},
}
UNIT = {"char": "bpc", "word": "perplexity"}


def read_source(source: str) -> str:
    """The text a run learns from."""
    if source.startswith(AUSTEN_PREFIX):
        return data.load_austen(source.removeprefix(AUSTEN_PREFIX))
    return data.load_text(source)


def split(text: str) -> dict[str, str]:
    """The three parts of a text: the first 90 %, the next 5 %, the last 5 %, by characters."""
    a, b = int(0.90 * len(text)), int(0.95 * len(text))
    return dict(zip(PARTS, (text[:a], text[a:b], text[b:]), strict=True))


class Run:
    """A run in its folder: made by `plan` and `create`, or found by `open`; trained by `train`."""

    def __init__(self, folder: Path, config: Config, tokenizer: Any, text: str):
        self.folder, self.config, self.tokenizer, self.text = folder, config, tokenizer, text
        self.unit = UNIT[config.level]

    @classmethod
    def plan(cls, folder: Path, config: Config) -> Run:
        """A new run, checked whole; its folder is not made yet.

        Raises
        ------
        ValueError
            A setting is out of range, or the text is too short.
        FileExistsError
            `folder` is there already and holds something.
        """
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise FileExistsError(
                f"{folder} exists and is not empty: choose another --out, or go on with it: "
                f"nnscratch train --out {folder} --resume"
            )
        text = read_source(config.source)
        config.sha256 = _fingerprint(text)
        if config.level == "char":
            tokenizer = data.CharTokenizer.from_text(text)
        else:
            positive_int("vocab", config.vocab)
            tokenizer = data.WordTokenizer.from_text(split(text)["train"], max_size=config.vocab)
        run = cls(folder, config, tokenizer, text)
        for part in ("train", "valid"):
            run.batches(part)
        run.new_trainer()
        return run

    def create(self) -> None:
        """Make the folder of a planned run, and write down what was asked for."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write_json("config.json", asdict(self.config))
        self._write_json("tokenizer.json", self.tokenizer.to_dict())

    @classmethod
    def open(cls, folder: Path) -> Run:
        """The run that is in `folder`.

        Raises
        ------
        FileNotFoundError
            There is no run there, or the text it learned from is gone.
        ValueError
            A file of it is broken, or the text is no longer the one it learned from.
        """
        config_path = folder / "config.json"
        if not config_path.is_file():
            raise FileNotFoundError(f"{folder} holds no run (there is no {config_path})")
        try:
            config = Config(**json.loads(config_path.read_text(encoding="utf-8")))
        except (json.JSONDecodeError, TypeError) as error:
            raise ValueError(f"{config_path} is broken: {error}") from None
        try:
            tokenizer = data.tokenizer_from_dict(json.loads((folder / "tokenizer.json").read_text(encoding="utf-8")))
        except json.JSONDecodeError as error:
            raise ValueError(f"{folder / 'tokenizer.json'} is broken: {error}") from None
        return cls(folder, config, tokenizer, "")

    def read_text(self) -> str:
        """The text the run learns from, if it is still the same."""
        if not self.text:
            text = read_source(self.config.source)
            if _fingerprint(text) != self.config.sha256:
                raise ValueError(f"{self.config.source} has changed since {self.folder} was begun")
            self.text = text
        return self.text

    def batches(self, part: str) -> data.TextBatches:
        """The batches of one part of the run's text."""
        return self.batches_of(split(self.read_text())[part], part)

    def batches_of(self, text: str, name: str) -> data.TextBatches:
        """A text's batches: as many lanes as asked for when learning, ten at the most when measuring.

        Every lane starts with nothing read before it, so few lanes measure better what a model knows of a text.
        """
        tokens = self.tokenizer.encode(text)
        lanes, length = self.config.batch, self.config.seq_len
        if name != "train":
            lanes = max(1, min(10, (len(tokens) - 1) // length))
        try:
            return data.TextBatches(tokens, batch_size=lanes, seq_len=length)
        except ValueError as error:
            raise ValueError(f"the {name} part of {self.config.source}: {error}") from None

    def new_trainer(self) -> Trainer:
        """A trainer at step 0, for the number of steps the configuration comes to."""
        c = self.config
        model = LanguageModel(len(self.tokenizer), c.embed, c.hidden, c.layers, c.dropout, c.tie, rng=c.seed)
        optimizer = optim.Adam(model.parameters(), lr=c.lr)
        return Trainer(
            model,
            CrossEntropyLoss(),
            optimizer,
            scheduler=optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=self.total_steps()),
            max_norm=c.clip,
        )

    def total_steps(self) -> int:
        if self.config.steps is not None:
            return positive_int("steps", self.config.steps)
        if not 0 < self.config.epochs < float("inf"):
            raise ValueError(f"epochs must be above 0, got {self.config.epochs}")
        return max(1, round(self.config.epochs * len(self.batches("train"))))

    def train(self, go_on: bool = False) -> str | None:
        """Train to the end; returns why it stopped early, or None. Everything measured is written to the folder."""
        batches, valid = self.batches("train"), self.batches("valid")
        trainer = self.new_trainer()
        if go_on:
            resume(trainer, self.folder)
        total = self.total_steps()
        trainer.callbacks = [ProgressBar(self.unit), Checkpoint(self.folder)]
        if self.config.patience is not None:
            trainer.callbacks.insert(0, EarlyStopping(self.config.patience))
        try:
            if trainer.step < total:
                trainer.fit(batches, valid, steps=total, evaluate_every=max(1, min(len(batches), -(-total // 10))))
        finally:
            if trainer.history.steps:
                self._write_json("history.json", trainer.history.to_dict())
                save_figure(plot_history(trainer.history, self.unit), self.folder / "loss.png")
        self.history = trainer.history
        return trainer.stop

    def model(self) -> Module:
        """The weights that were best on the validation text."""
        path = self.folder / "model.safetensors"
        if not path.is_file():
            raise FileNotFoundError(f"{self.folder} has no model yet: train it first")
        return load(path)

    def sample(self, model: Module) -> str:
        """What the model writes, from the first characters or words of the text; kept in sample.txt."""
        if self.config.level == "char":
            prompt, length = self.read_text()[:1], SAMPLE_CHARACTERS
        else:
            prompt, length = self.tokenizer.decode(self.tokenizer.encode(self.read_text()[:1000])[:3]), SAMPLE_WORDS
        text = generate(model, self.tokenizer, prompt, length, SAMPLE_TEMPERATURE, rng=self.config.seed)
        write_atomically(self.folder / "sample.txt", text.encode())
        return text

    def known_words(self, sample: str) -> float:
        """The share of the sample's words that are words of the text."""
        known = set(words(self.read_text()))
        written = words(sample)
        return sum(word in known for word in written) / max(1, len(written))

    def loss(self, model: Module, batches: data.TextBatches) -> float:
        return evaluate(model, CrossEntropyLoss(), batches)

    def show(self, loss: float) -> str:
        """A loss as people say it: ``1.702 bits per character`` or ``perplexity 85.3``."""
        convert, form = UNITS[self.unit]
        value = format(convert(loss), form)
        return f"{value} bits per character" if self.unit == "bpc" else f"perplexity {value}"

    def _write_json(self, name: str, content: Any) -> None:
        write_atomically(self.folder / name, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())


def words(text: str) -> list[str]:
    """The words of a text, in lower case."""
    return re.findall(r"[a-z]+", text.lower())


def steps_in(minutes: float, run: Run) -> int:
    """How many steps a run makes in so many minutes, timed on a few steps of a throw-away copy.

    Timing comes before training and only sets a number, so that a run with ``--minutes`` can be repeated exactly with
    ``--steps``.
    """
    if not 0 < minutes < float("inf"):
        raise ValueError(f"minutes must be above 0, got {minutes}")
    trainer, batches = run.new_trainer(), run.batches("train")
    measured = []
    for k in range(12):
        start = time.perf_counter()
        trainer.train_step(*batches[k % len(batches)])
        measured.append(time.perf_counter() - start)
    return max(1, int(minutes * 60 / (sum(sorted(measured[2:])[2:8]) / 6) * 0.97))  # 3 % for validation


def free_folder(source: str, level: str) -> Path:
    """runs/NAME, or runs/NAME-2, -3 ...: the first that is not taken."""
    stem = source.removeprefix(AUSTEN_PREFIX) if source.startswith(AUSTEN_PREFIX) else Path(source).stem
    base = Path("runs") / f"{stem}-{level}"
    candidates = [base, *(base.with_name(f"{base.name}-{k}") for k in range(2, 1000))]
    return next(folder for folder in candidates if not folder.exists())


def _fingerprint(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
