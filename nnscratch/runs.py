"""A run: one language model trained on one text, and the folder that holds its files.

    config.json             the settings, and a hash of the text
    tokenizer.json          the tokens
    checkpoint.safetensors  the state from which the run resumes, bit for bit
    model.safetensors       the weights with the lowest validation loss
    history.json, loss.png  the losses, as numbers and as a picture
    sample.txt              a text that the model generated

The first 90 % of the text are for training, the next 5 % for validation and the last 5 % for the test. Only
``nnscratch evaluate`` reads the test part.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shlex
import time
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from . import backend, data, optim
from .checks import check_regular_file, reason
from .data.tokenizers.tokenizer import UNK
from .generation import generate
from .init import uniform
from .losses import CrossEntropyLoss
from .models import LanguageModel, TransformerLM
from .module import Module
from .plotting import plot_history, save_figure
from .run_folder import StopAfterSignal, ctrl_c_for_other_signals, locked, remove_unfinished_files, unfinished_files
from .run_settings import MAX_STEPS, OPTIMIZERS, PATHS, UNIT, Config, checksum
from .serialization import load, write_atomically
from .training import Checkpoint, EarlyStopping, ProgressBar, Trainer, checkpoint, evaluate, resume
from .training.busy_cores import OneThreadIfBusy
from .training.callbacks import UNITS

AUSTEN_PREFIX = "austen:"
SAMPLE_TOKENS = {"char": 2000, "bpe": 600, "word": 300, "split": 300}
SAMPLE_TEMPERATURE = 0.8
PROMPT = "It is a truth"
PARTS = ("train", "valid", "test")


def read_parts(config: Config) -> dict[str, str]:
    """Return the training, validation and test text of a run, under the names in PARTS."""
    if config.source == f"{AUSTEN_PREFIX}six":
        return dict(zip(PARTS, data.austen_split(), strict=True))
    if config.source.startswith(AUSTEN_PREFIX):
        text = data.load_austen(config.source.removeprefix(AUSTEN_PREFIX))
    else:
        text = data.load_text(config.source)
    if (config.valid is None) != (config.test is None):
        raise ValueError("valid and test go together: give both files, or neither")
    if config.valid is not None:
        return {"train": text, "valid": data.load_text(config.valid), "test": data.load_text(config.test)}
    a, b = int(0.90 * len(text)), int(0.95 * len(text))
    return dict(zip(PARTS, (text[:a], text[a:b], text[b:]), strict=True))


def new_tokenizer(level: str, parts: dict[str, str], vocab: int) -> Any:
    """Return a tokenizer of all characters in the text, or one that learns its tokens from the training part."""
    if level == "char":
        return data.CharTokenizer.from_text("".join(parts.values()))
    if level == "bpe":
        return data.BPETokenizer.from_text(parts["train"], vocab)
    tokenizer = {"word": data.WordTokenizer, "split": data.SplitTokenizer}[level]
    return tokenizer.from_text(parts["train"], max_size=vocab)


class Run:
    """A run in its folder. `plan` and `create` make a new run, `open` opens an existing run, and `train` trains."""

    def __init__(self, folder: Path, config: Config, tokenizer: Any, parts: dict[str, str] | None = None):
        self.folder, self.config, self.tokenizer, self._parts = folder, config, tokenizer, parts
        self.unit = UNIT[config.level]

    @classmethod
    def plan(cls, folder: Path, config: Config) -> Run:
        """Return a new run after checking all its settings. This method does not make the folder: `create` does.

        Raises
        ------
        ValueError
            A setting is out of range, or the text is too short.
        FileExistsError
            `folder` exists and is not empty.
        """
        if folder.exists() and (not folder.is_dir() or set(folder.iterdir()) - set(unfinished_files(folder))):
            raise FileExistsError(
                f"{folder} exists and is not empty: choose another --out, or resume the run in it: "
                f"nnscratch train --out {shlex.quote(str(folder))} --resume"
            )
        config.check()
        parts = read_parts(config)
        for name in PATHS:  # an absolute path, so the run can be resumed from any folder
            path = getattr(config, name)
            if path is not None and not path.startswith(AUSTEN_PREFIX):
                setattr(config, name, os.path.abspath(path))
        config.sha256 = _fingerprint(parts)
        run = cls(folder, config, new_tokenizer(config.level, parts, config.vocab), parts)
        for part in ("train", "valid"):
            run.batches(part)
        run.new_trainer()
        return run

    def create(self) -> None:
        """Make the folder of a planned run, and write its settings and tokenizer.

        Raises
        ------
        FileExistsError
            Another process has created a run in the folder since `plan`.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            settings = asdict(self.config)
            self._write_json("config.json", settings | {"checksum": checksum(settings)}, exist_ok=False)
        except FileNotFoundError:  # another process trains here, and has removed this unfinished file
            raise FileExistsError(f"{self.folder / 'config.json'} exists") from None
        self._write_json("tokenizer.json", self.tokenizer.to_dict())

    @classmethod
    def open(cls, folder: Path) -> Run:
        """Return the run in `folder`. Its text is read later, by `parts`.

        Raises
        ------
        FileNotFoundError
            `folder` has no run.
        ValueError
            A file of the run cannot be read.
        """
        config_path = folder / "config.json"
        if not config_path.is_file():
            raise FileNotFoundError(f"{folder} holds no run (there is no {config_path})")
        try:
            settings = json.loads(config_path.read_text(encoding="utf-8"))
            written = settings.pop("checksum", None) if isinstance(settings, dict) else None  # older runs have none
            config = Config(**settings)
            config.check()
            if written is not None and written != checksum(settings):
                raise ValueError(
                    "its settings were changed after the run was created. Restore them, or train a new run with them"
                )
        except (ValueError, TypeError, RecursionError) as error:
            raise ValueError(f"{config_path} is broken: {reason(error)}") from None
        if not (folder / "tokenizer.json").exists():  # the process was killed before it wrote this file
            run = cls(folder, config, None)
            run.tokenizer = new_tokenizer(config.level, run.parts, config.vocab)
            return run
        check_regular_file(folder / "tokenizer.json")
        try:
            tokenizer = data.tokenizer_from_dict(json.loads((folder / "tokenizer.json").read_text(encoding="utf-8")))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{folder / 'tokenizer.json'} is broken: {reason(error)}") from None
        return cls(folder, config, tokenizer)

    @property
    def parts(self) -> dict[str, str]:
        """The run's training, validation and test text. Raises ValueError if the text has changed since `create`."""
        if self._parts is None:
            parts = read_parts(self.config)
            if self.config.sha256 not in (_fingerprint(parts), _old_fingerprint(parts)):
                raise ValueError(f"{self.config.source} has changed since the run in {self.folder} was created")
            self._parts = parts
        return self._parts

    def batches(self, part: str) -> data.TextBatches:
        """Return the batches of one part of the run's text."""
        return self.batches_of(self.parts[part], part)

    def batches_of(self, text: str, name: str) -> data.TextBatches:
        """Return the batches of a text: `config.batch` lanes for training, at most ten lanes otherwise.

        At the start of a lane (see `TextBatches`), the model has no context and predicts badly. So fewer lanes give a
        more accurate loss.
        """
        tokens = self.tokenizer.encode(text)
        lanes, length = self.config.batch, self.config.seq_len
        if name != "train":
            lanes = max(1, min(10, (len(tokens) - 1) // length))
        try:
            return data.TextBatches(tokens, batch_size=lanes, seq_len=length)
        except ValueError as error:
            where = f"the {name} part of {self.config.source}" if name in PARTS else name
            raise ValueError(f"{where}: {error}") from None

    def new_trainer(self, device: str = "cpu", communicator: Any = None) -> Trainer:
        """Return a new trainer for this run, with `total_steps` steps to make."""
        c, V = self.config, len(self.tokenizer)
        if c.cell == "transformer":
            model = TransformerLM(V, c.hidden, c.heads, c.layers, c.seq_len, c.dropout, c.tie, rng=c.seed)
        else:
            model = LanguageModel(V, c.embed, c.hidden, c.layers, c.dropout, c.tie, c.cell, rng=c.seed)
        if c.init is not None:
            rng = np.random.default_rng(c.seed)
            for parameter in model.parameters():
                parameter.data[...] = uniform(parameter.shape, c.init, rng)
        model.to(device)  # before the optimiser is created, because its averages must be on the same device
        optimizer = OPTIMIZERS[c.optimizer](model.parameters(), lr=c.lr)
        if c.hold is None:
            scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=self.total_steps())
        else:
            epoch = len(self.batches("train"))
            hold = max(1, round(min(c.hold * epoch, MAX_STEPS)))
            scheduler = optim.lr_scheduler.StepLR(optimizer, epoch, c.decay, hold=hold)
        settings = {"scheduler": scheduler, "max_norm": c.clip, "communicator": communicator}
        return Trainer(model, CrossEntropyLoss(), optimizer, **settings)

    def total_steps(self) -> int:
        if self.config.steps is not None:
            return self.config.steps
        if self.config.epochs is None or not 0 < self.config.epochs < float("inf"):
            raise ValueError(f"epochs must be above 0, got {self.config.epochs}")
        steps = self.config.epochs * len(self.batches("train"))
        if steps > MAX_STEPS:
            raise ValueError(f"epochs must be smaller: {self.config.epochs:g} epochs are {steps:.2g} steps")
        return max(1, round(steps))

    def train(self, resumed: bool = False, device: str = "cpu", communicator: Any = None) -> str | None:
        """Train, and write all results to the folder. Return the reason if training stopped early, else None.

        Parameters
        ----------
        resumed : bool
            Start from the checkpoint in the folder. A run that was killed before its first checkpoint starts again.
        device : str
        communicator : mpi4py.MPI.Comm, optional
            Call this method on all its ranks. Rank 0 writes the results.

        Raises
        ------
        BlockingIOError
            Another process trains the run in this folder.
        FileExistsError
            `resumed` is False, and the run has a checkpoint and a history already.
        FileNotFoundError
            The folder has the history of earlier steps, but no checkpoint.
        """
        batches, valid = self.batches("train"), self.batches("valid")
        trainer = self.new_trainer(device, communicator)
        writes, total = trainer.rank == 0, self.total_steps()
        lock = locked(self.folder / "config.json") if writes else nullcontext()
        with lock, ctrl_c_for_other_signals() as signals:
            remove_unfinished_files(self.folder)
            if writes and not (self.folder / "tokenizer.json").exists():
                self._write_json("tokenizer.json", self.tokenizer.to_dict())
            if resumed and (self.folder / checkpoint.FILE).exists():
                resume(trainer, self.folder)
            elif (self.folder / "history.json").exists():
                if (self.folder / checkpoint.FILE).exists():
                    raise FileExistsError(f"{self.folder} has a checkpoint already: continue with train(resumed=True)")
                raise FileNotFoundError(
                    f"{self.folder} has no {checkpoint.FILE}, and history.json has the losses of earlier steps: "
                    f"restore the checkpoint, or train a new run in another folder"
                )
            trainer.callbacks = [ProgressBar(self.unit), Checkpoint(self.folder), StopAfterSignal(signals)]
            if device == "cpu":
                trainer.callbacks.append(OneThreadIfBusy())
            if self.config.patience is not None:
                early_stopping = EarlyStopping(self.config.patience)
                trainer.callbacks.insert(0, early_stopping)
                trainer.stop = early_stopping.reason(trainer)  # a reason if the run had already stopped early
            try:
                if trainer.steps_done < total and trainer.stop is None:
                    trainer.fit(batches, valid, steps=total, evaluate_every=max(1, min(len(batches), -(-total // 10))))
            finally:
                if trainer.history.steps and writes:
                    self._write_json("history.json", trainer.history.to_dict())
                    save_figure(plot_history(trainer.history, self.unit), self.folder / "loss.png")
        self.history = trainer.history
        return trainer.stop

    def model(self) -> Module:
        """Return the model with the lowest validation loss."""
        path = self.folder / "model.safetensors"
        if not path.is_file():
            raise FileNotFoundError(f"{self.folder} has no model.safetensors yet: train it first")
        return load(path)

    def sample(self, model: Module) -> str:
        """Generate a text, write it to sample.txt and return it.

        With characters and BPE, the prompt is the start of a paragraph. Otherwise it is the first three words of the
        training text.
        """
        level, text = self.config.level, self.parts["train"]
        if level in ("char", "bpe"):
            prompt = "\n\n" if "\n\n" in text else text[:1]
        else:
            whole_words = text[:1000] if len(text) <= 1000 else text[:1000].rsplit(None, 1)[0]
            prompt = self.tokenizer.decode(self.tokenizer.encode(whole_words)[:3])
        text = generate(model, self.tokenizer, prompt, SAMPLE_TOKENS[level], SAMPLE_TEMPERATURE, rng=self.config.seed)
        write_atomically(self.folder / "sample.txt", text.encode())
        return text

    def known_words(self, sample: str) -> float:
        """Return the fraction of the sample's words that also occur in the text."""
        known = {word for text in self.parts.values() for word in words(text)}
        generated = words(sample)
        return sum(word in known for word in generated) / max(1, len(generated))

    def loss(self, model: Module, batches: data.TextBatches) -> float:
        return evaluate(model, CrossEntropyLoss(), batches)

    def show(self, loss: float, batches: data.TextBatches) -> str:
        """Return a mean loss over `batches` as text: ``1.702 bits per character`` or ``perplexity 85.3``.

        With BPE, a token can be several characters. The sum of the losses is divided by the number of characters in the
        targets, so you can compare the result with the loss of a character model.
        """
        if isinstance(self.tokenizer, data.BPETokenizer):
            characters = sum(self.tokenizer.count_characters(targets.ravel()) for _, targets in batches)
            loss = loss * batches.num_tokens / max(1, characters)
        unit = "perplexity" if self.unit == "perplexity" else "bpc"
        convert, form = UNITS[unit]
        value = format(convert(loss), form)
        return f"{value} bits per character" if unit == "bpc" else f"perplexity {value}"

    def _write_json(self, name: str, content: Any, exist_ok: bool = True) -> None:
        text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        write_atomically(self.folder / name, text.encode(), exist_ok)


def default_prompt(tokenizer: Any) -> str:
    """Return the first text that the tokenizer can encode: PROMPT, a new line, or else its last token."""
    for prompt in (PROMPT, "\n"):
        with contextlib.suppress(ValueError):
            ids = tokenizer.encode(prompt)
            if len(ids) and UNK not in (tokenizer.vocabulary[k] for k in ids):
                return prompt
    return tokenizer.vocabulary[-1]


def words(text: str) -> list[str]:
    """Return the words of a text in lower case. A word is a sequence of letters of any alphabet."""
    return re.findall(r"[^\W\d_]+", text.lower())


def steps_in(minutes: float, run: Run, device: str = "cpu", communicator: Any = None) -> int:
    """Return the approximate number of steps of a run of `minutes` minutes, from the time of a few steps.

    A second trainer makes the timed steps before training begins. The measured time determines only the number of
    steps. A later run with the same ``--minutes`` may get another number. To repeat a run exactly, give its number of
    steps as ``--steps``.
    """
    if not 0 < minutes < float("inf"):
        raise ValueError(f"minutes must be above 0, got {minutes}")
    trainer, batches = run.new_trainer(device, communicator), run.batches("train")
    measured = []
    for k in range(12):
        start = time.perf_counter()
        trainer.train_step(*batches[k % len(batches)])
        backend.synchronize(device)
        measured.append(time.perf_counter() - start)
    seconds = sum(sorted(measured[2:])[2:8]) / 6
    return max(1, int(min(minutes * 60 / seconds * 0.97, MAX_STEPS)))  # 3 % of the time is for validation


def free_folder(source: str, level: str) -> Path:
    """Return the first of runs/NAME, runs/NAME-2, runs/NAME-3, ... that does not exist."""
    stem = source.removeprefix(AUSTEN_PREFIX) if source.startswith(AUSTEN_PREFIX) else Path(source).stem
    base = Path("runs") / f"{stem}-{level}"
    candidates = [base, *(base.with_name(f"{base.name}-{k}") for k in range(2, 1000))]
    return next(folder for folder in candidates if not folder.exists())


def _fingerprint(parts: dict[str, str]) -> str:
    """Return a hash of the parts that changes if text moves from one part to another."""
    return hashlib.sha256(json.dumps([parts[name] for name in PARTS]).encode()).hexdigest()


def _old_fingerprint(parts: dict[str, str]) -> str:
    """Return the hash that older runs have in their configuration."""
    return hashlib.sha256("".join(parts[name] for name in PARTS).encode()).hexdigest()
