"""What watches a training run: the progress bar, early stopping, checkpoints."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from .. import backend
from ..checks import positive_int
from ..serialization import PathLike, read_arrays, save, write_arrays
from .metrics import bits_per_character, perplexity
from .trainer import Callback, Trainer

UNITS: dict[str, tuple[Callable[[float], float], str]] = {
    "loss": (lambda loss: loss, ".4f"),
    "bpc": (bits_per_character, ".3f"),
    "perplexity": (perplexity, ".1f"),
}


class ProgressBar(Callback):
    """A tqdm bar: loss, its meaning, tokens (targets) per second, time left.

    Parameters
    ----------
    unit : {"loss", "bpc", "perplexity"}
        What the loss is shown as, beside the loss itself.

    Examples
    --------
    >>> ProgressBar("bpc").show(0.6931471805599453)
    '1.000'
    """

    def __init__(self, unit: str = "loss"):
        if unit not in UNITS:
            raise ValueError(f"unit must be one of {', '.join(UNITS)}, got {unit!r}")
        self.unit = unit

    def on_fit_start(self, trainer: Trainer) -> None:
        from tqdm.auto import tqdm  # not above: in a notebook without ipywidgets the import alone prints a warning

        self.bar = tqdm(
            total=trainer.total_steps,
            initial=trainer.step,
            unit="step",
            dynamic_ncols=True,
            mininterval=0.2 if sys.stderr.isatty() else 20,  # a log file wants few lines
        )
        self.first_seconds = trainer.history.seconds
        self.targets, self.unshown, self.shown_at = 0, 0, time.monotonic()

    def on_step_end(self, trainer: Trainer) -> None:
        self.targets += trainer.targets
        self.unshown += 1
        if time.monotonic() - self.shown_at >= self.bar.mininterval:  # to look at a loss is to wait for a GPU
            self.update(trainer)

    def update(self, trainer: Trainer) -> None:
        seconds = trainer.history.seconds - self.first_seconds
        shown = {"loss": f"{trainer.history.recent_loss():.4f}"}
        if self.unit != "loss":
            shown[self.unit] = self.show(trainer.history.recent_loss())
        if trainer.history.valid:
            shown["valid"] = self.show(trainer.history.valid[-1]["loss"])
        self.bar.set_postfix(shown, refresh=False)
        self.bar.set_description_str(f"{self.targets / max(seconds, 1e-9):,.0f} tok/s", refresh=False)
        self.bar.update(self.unshown)
        self.unshown, self.shown_at = 0, time.monotonic()

    def on_validation_end(self, trainer: Trainer) -> None:
        if self.unshown:
            self.update(trainer)
        record = trainer.history.valid[-1]
        best = " (best)" if record is trainer.history.best else ""
        self.bar.write(
            f"step {record['step']:>6}  epoch {record['epoch']:5.2f}  {self.unit}: "
            f"train {self.show(trainer.history.recent_loss())}  valid {self.show(record['loss'])}{best}",
            file=sys.stderr,
        )

    def on_fit_end(self, trainer: Trainer) -> None:
        if self.unshown:
            self.update(trainer)
        self.bar.close()

    def show(self, loss: float) -> str:
        convert, form = UNITS[self.unit]
        return format(convert(loss), form)


class EarlyStopping(Callback):
    """End training when the validation loss has not improved `patience` times in a row.

    Parameters
    ----------
    patience : int

    Examples
    --------
    Four points to learn by heart, four others to be tested with, which learning the first by heart makes no better:

    >>> import numpy as np, nnscratch as nn
    >>> x = np.random.default_rng(0).normal(size=(8, 2)).astype(np.float32)
    >>> train, valid = [(x[:4], np.array([0, 1, 1, 0]))], [(x[4:], np.array([0, 1, 1, 0]))]
    >>> model = nn.models.MLP([2, 32, 2], rng=0)
    >>> optimizer = nn.optim.Adam(model.parameters(), lr=0.05)
    >>> trainer = nn.Trainer(model, nn.CrossEntropyLoss(), optimizer, callbacks=[EarlyStopping(patience=3)])
    >>> history = trainer.fit(train, valid, steps=1000)
    >>> trainer.stop, history.steps < 100
    ('no better validation loss in 3 tries', True)
    """

    def __init__(self, patience: int):
        self.patience = positive_int("patience", patience)

    def on_validation_end(self, trainer: Trainer) -> None:
        valid = trainer.history.valid
        since_best = len(valid) - 1 - valid.index(trainer.history.best)
        if since_best >= self.patience:
            trainer.stop = f"no better validation loss in {since_best} tries"


class Checkpoint(Callback):
    """Keep a run's state on disk: `checkpoint.safetensors` to go on from, `model.safetensors` with the best weights.

    The best are those with the lowest validation loss. Where training ended before a first validation, they are the
    latest.

    Parameters
    ----------
    folder : path
        Exists already.
    every : int, optional
        Save every so many steps, beside after each validation and at the end.

    Notes
    -----
    Each file is written atomically, and never with weights that are not finite: what is there is whole and good.

    Examples
    --------
    >>> import os, tempfile, numpy as np, nnscratch as nn
    >>> folder, model = tempfile.mkdtemp(), nn.Linear(2, 1, rng=0)
    >>> optimizer = nn.optim.Adam(model.parameters())
    >>> trainer = nn.Trainer(model, nn.MSELoss(), optimizer, callbacks=[Checkpoint(folder)])
    >>> batches = [(np.ones((4, 2), dtype=np.float32), np.ones((4, 1), dtype=np.float32))]
    >>> history = trainer.fit(batches, valid=batches, epochs=30)
    >>> sorted(os.listdir(folder))
    ['checkpoint.safetensors', 'model.safetensors']
    """

    def __init__(self, folder: PathLike, every: int | None = None):
        self.folder = Path(folder)
        self.every = None if every is None else positive_int("every", every)

    def on_fit_start(self, trainer: Trainer) -> None:
        if not self.folder.is_dir():  # said now, not after an epoch
            raise FileNotFoundError(f"Checkpoint: there is no folder {self.folder}")
        self.lead = trainer.optimizer.steps - trainer.step

    def on_step_end(self, trainer: Trainer) -> None:
        if self.every is not None and trainer.step % self.every == 0:
            self.write(trainer)

    def on_validation_end(self, trainer: Trainer) -> None:
        if trainer.history.valid[-1] is trainer.history.best:
            save(trainer.model, self.folder / "model.safetensors")
        self.write(trainer)

    def on_fit_end(self, trainer: Trainer) -> None:
        if trainer.optimizer.steps - trainer.step > self.lead:
            return  # a second Ctrl-C came in the middle of a step: keep the last whole one
        if self.write(trainer) and trainer.history.best is None:
            save(trainer.model, self.folder / "model.safetensors")

    def write(self, trainer: Trainer) -> bool:
        """Whether there was something to keep."""
        if not all(backend.array_module(p.data).isfinite(p.data).all() for p in trainer.model.parameters()):
            return False  # the step before broke the weights: keep the last good checkpoint
        arrays, header = trainer.state_dict()
        write_arrays(self.folder / "checkpoint.safetensors", arrays, header)
        return True


def resume(trainer: Trainer, folder: PathLike) -> None:
    """Bring `trainer` to where the checkpoint in `folder` stands.

    Raises
    ------
    FileNotFoundError
    ValueError
        The checkpoint is cut short, or of another model or optimiser. Nothing has been changed then.

    Examples
    --------
    >>> import tempfile, numpy as np, nnscratch as nn
    >>> folder = tempfile.mkdtemp()
    >>> def new_trainer():
    ...     model = nn.Linear(2, 1, rng=0)
    ...     optimizer = nn.optim.Adam(model.parameters())
    ...     return nn.Trainer(model, nn.MSELoss(), optimizer, callbacks=[Checkpoint(folder)])
    >>> batches = [(np.ones((4, 2), dtype=np.float32), np.ones((4, 1), dtype=np.float32))]
    >>> first = new_trainer()
    >>> history = first.fit(batches, steps=30)
    >>> later = new_trainer()                               # another day, another process
    >>> resume(later, folder)
    >>> later.step
    30
    >>> bool((later.model.weight.data == first.model.weight.data).all())
    True
    """
    path = os.path.join(folder, "checkpoint.safetensors")
    arrays, header = read_arrays(path)
    missing = {"step", "optimizer", "scheduler", "rng", "epoch_rng", "history", "callbacks"} - header.keys()
    if missing:
        raise ValueError(f"{path} is not a training checkpoint of nnscratch")
    try:
        trainer.load_state_dict(arrays, header)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
