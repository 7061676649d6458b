"""Callback: your own code, which the Trainer calls during training."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .trainer import Trainer


class Callback:
    """The base class of callbacks. Override the methods that you need. Each of them receives the trainer.

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

    def on_fit_start(self, trainer: Trainer) -> None:
        """Called at the start of `fit`, before the first step."""

    def on_backward_end(self, trainer: Trainer) -> None:
        """Called in every step after backward, before the gradients are clipped. You may change the gradients."""

    def on_step_end(self, trainer: Trainer) -> None:
        """Called after every step."""

    def on_validation_end(self, trainer: Trainer) -> None:
        """Called after every validation. The result is ``trainer.history.valid[-1]``."""

    def on_fit_end(self, trainer: Trainer) -> None:
        """Called at the end of `fit`, also if training ended with an error."""


@contextlib.contextmanager
def call_on_fit_end(trainer: Trainer) -> Iterator[None]:
    """At the end of the ``with`` block, call ``on_fit_end`` of every callback, even if training or a callback fails.

    If several callbacks raise an error, the traceback shows every error. Processes that train together then wait for
    each other: none of them may read a checkpoint while rank 0 writes it.
    """
    with contextlib.ExitStack() as at_end:  # calls the functions in the opposite order
        try:
            yield
        finally:
            if trainer.together is not None:
                at_end.callback(trainer.together.communicator.Barrier)
            for callback in reversed((*trainer.callbacks, *trainer.bar)):
                at_end.callback(callback.on_fit_end, trainer)
