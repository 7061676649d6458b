"""Busy cores: use one thread for matrix products if another program slows down every step.

OpenBLAS gives each core a part of a product, and a product ends when its slowest part ends. If another program uses one
of the cores, the thread on this core is delayed by milliseconds in every product, and the other threads wait for this
thread. A recurrent model makes hundreds of small products in a step, so its step may take twenty times as long. With
one thread, no product waits. The callback changes to one thread if

    median of the latest 5 steps  >  2.5 x the smallest such median so far,   twice in a row
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from .. import backend, blas, progress
from .callback import Callback

if TYPE_CHECKING:
    from .trainer import Trainer

STEPS, SLOW = 5, 2.5


class OneThreadIfBusy(Callback):
    """Limit OpenBLAS to one thread until the end of `fit` if steps become much slower than before.

    The callback then prints a message, because the number of threads may change the last digits of a product. So the
    run may not equal, bit for bit, a run that was not slowed down. `nnscratch train` uses this callback. It has no
    effect if OpenBLAS already uses one thread.

    Parameters
    ----------
    clock : function without arguments
        Returns the time in seconds.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> model, batches = nn.Linear(2, 1, rng=0), [(np.ones((4, 2), np.float32), np.ones((4, 1), np.float32))]
    >>> optimizer = nn.optim.SGD(model.parameters(), lr=0.1)
    >>> trainer = nn.Trainer(model, nn.MSELoss(), optimizer, callbacks=[OneThreadIfBusy()])
    >>> trainer.fit(batches, steps=30).steps
    30
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter):
        self.clock = clock

    def on_fit_start(self, trainer: Trainer) -> None:
        setting = blas.thread_setting()
        self.useful = setting is not None and setting[0]() > 1
        self.usual, self.slow_in_a_row, self.seconds = float("inf"), 0, []
        self.step_began = self.clock()
        self.until_end = contextlib.ExitStack()

    def on_step_end(self, trainer: Trainer) -> None:
        now = self.clock()
        self.seconds.append(now - self.step_began)
        self.step_began = now
        if len(self.seconds) == STEPS and self.useful:
            self.compare(statistics.median(self.seconds))
        if len(self.seconds) == STEPS:
            self.seconds = []

    def on_validation_end(self, trainer: Trainer) -> None:
        self.step_began = self.clock()  # do not count the time of the validation

    def on_fit_end(self, trainer: Trainer) -> None:
        self.until_end.close()

    def compare(self, seconds: float) -> None:
        """Compare the median time of the latest steps with the usual time."""
        self.slow_in_a_row = self.slow_in_a_row + 1 if seconds > SLOW * self.usual else 0
        self.usual = min(self.usual, seconds)
        if self.slow_in_a_row == 2:
            self.until_end.enter_context(backend.single_threaded_blas())
            self.useful = False
            print(
                f"\nA step took {seconds * 1e3:.0f} ms, while earlier steps took {self.usual * 1e3:.0f} ms: another "
                f"program uses the cores. From now on, products use one thread, so the last digits may differ from "
                f"those of other runs.",
                file=progress.stream(),
            )
