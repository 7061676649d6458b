"""Callbacks: the progress bar and early stopping. (The callback for checkpoints is in checkpoint.py.)"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from .. import progress
from ..checks import one_of, positive_int
from .callback import Callback
from .metrics import bits_per_character, perplexity

if TYPE_CHECKING:
    from .trainer import Trainer

UNITS: dict[str, tuple[Callable[[float], float], str]] = {
    "loss": (lambda loss: loss, ".4f"),
    "bpc": (bits_per_character, ".3f"),
    "perplexity": (perplexity, ".1f"),
}


class ProgressBar(Callback):
    """A tqdm progress bar with the loss, the speed and the time left.

    The speed is the number of targets per second. The targets of a language model are tokens.

    Parameters
    ----------
    unit : {"loss", "bpc", "perplexity"}
        The bar shows the loss. If `unit` is not "loss", it also shows the loss in this unit.

    Examples
    --------
    >>> ProgressBar("bpc").show(0.6931471805599453)
    '1.000'
    """

    def __init__(self, unit: str = "loss"):
        one_of("unit", unit, UNITS)
        self.unit = unit

    def on_fit_start(self, trainer: Trainer) -> None:
        stream = self.stream = io.StringIO() if trainer.rank > 0 else progress.stream()
        # The seconds between two updates. There are few updates in a log, because each update adds a line to the log.
        self.interval = 0.2 if progress.someone_watches() else 20
        self.bar = progress.bar(
            total=trainer.total_steps,
            initial=trainer.steps_done,
            unit="step",
            dynamic_ncols=True,
            mininterval=self.interval,
            file=stream,
        )
        self.first_seconds = trainer.history.seconds
        self.targets, self.unshown, self.shown_at = 0, 0, time.monotonic()

    def on_step_end(self, trainer: Trainer) -> None:
        self.targets += trainer.targets
        self.unshown += 1
        if time.monotonic() - self.shown_at >= self.interval:  # not in every step: reading a loss waits for the GPU
            self.update(trainer)

    def update(self, trainer: Trainer) -> None:
        seconds = trainer.history.seconds - self.first_seconds
        shown = {"loss": f"{trainer.history.recent_loss():.4f}"}
        if self.unit != "loss":
            shown[self.unit] = self.show(trainer.history.recent_loss())
        if trainer.privacy is not None:
            shown["epsilon"] = f"{trainer.privacy.epsilon(trainer.steps_done):.2f}"
        if trainer.history.valid:
            shown["valid"] = self.show(trainer.history.valid[-1]["loss"])
        self.bar.set_postfix(shown, refresh=False)
        name = "targets" if self.unit == "loss" else "tok"  # only language models use bpc and perplexity
        self.bar.set_description_str(f"{self.targets / max(seconds, 1e-9):,.0f} {name}/s", refresh=False)
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
            file=self.stream,
        )

    def on_fit_end(self, trainer: Trainer) -> None:
        if self.unshown:
            self.update(trainer)
        self.bar.close()

    def show(self, loss: float) -> str:
        convert, form = UNITS[self.unit]
        return format(convert(loss), form)


def automatic_bar(trainer: Trainer) -> tuple[Callback, ...]:
    """Return the bar that `fit` adds to the callbacks, or () if they include a bar or if no bar would be visible."""
    given = any(isinstance(callback, ProgressBar) for callback in trainer.callbacks)
    shown = trainer.progress and not given and trainer.rank == 0 and progress.someone_watches()
    return (ProgressBar(),) if shown else ()


class EarlyStopping(Callback):
    """End training when the validation loss has not improved in `patience` validations in a row.

    Parameters
    ----------
    patience : int

    Examples
    --------
    The model memorises four training points. That does not help with the four validation points, whose labels are
    random:

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
        trainer.stop = self.reason(trainer) or trainer.stop

    def reason(self, trainer: Trainer) -> str | None:
        """Return the reason to stop, or None to continue."""
        valid = trainer.history.valid
        since_best = len(valid) - 1 - valid.index(trainer.history.best) if valid else 0
        return f"no better validation loss in {since_best} tries" if since_best >= self.patience else None
