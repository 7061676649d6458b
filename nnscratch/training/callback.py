"""Callback: code of your own that the Trainer calls at fixed moments of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .trainer import Trainer


class Callback:
    """The base class of callbacks. Override the methods that you need; each receives the trainer.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> class StopWhenGood(Callback):
    ...     def on_step_end(self, trainer):
    ...         if trainer.history.loss[-1] < 0.1:
    ...             trainer.stop = "good enough"
    >>> model, batches = nn.Linear(1, 1, rng=0), [(np.ones((4, 1), np.float32), np.ones((4, 1), np.float32))]
    >>> optimizer = nn.optim.SGD(model.parameters(), lr=0.1)
    >>> trainer = nn.Trainer(model, nn.MSELoss(), optimizer, callbacks=[StopWhenGood()])
    >>> history = trainer.fit(batches, steps=1000)
    >>> trainer.stop, history.steps < 20
    ('good enough', True)
    """

    def on_fit_start(self, trainer: Trainer) -> None: ...

    def on_step_end(self, trainer: Trainer) -> None: ...

    def on_validation_end(self, trainer: Trainer) -> None: ...

    def on_fit_end(self, trainer: Trainer) -> None: ...
