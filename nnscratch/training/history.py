"""History: the losses of a training run, for each step and each validation."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Any


@dataclass
class History:
    """The record of a training run.

    Attributes
    ----------
    loss : list of float
        The training loss of every step, as the criterion returns it. A cross-entropy is in nats per target.
    lr, norm : list of float
        The learning rate of every step, and the norm of its gradient before clipping.
    valid : list of dict
        One dict for each validation: ``step``, ``epoch``, ``loss`` and ``seconds`` since training began.
    seconds : float
        The time spent in all calls of ``fit``, including the calls before a resume.

    Examples
    --------
    >>> History(loss=[2.0, 1.0], lr=[0.1, 0.1], norm=[1.0, 0.5]).steps
    2
    """

    loss: list[float] = field(default_factory=list)
    lr: list[float] = field(default_factory=list)
    norm: list[float] = field(default_factory=list)
    valid: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    _clock_started: float = field(default=0.0, init=False, repr=False, compare=False)

    def add_step(self, loss: float, lr: float, norm: float) -> None:
        """Record one step."""
        self.loss.append(loss)
        self.lr.append(lr)
        self.norm.append(norm)

    def start_clock(self) -> None:
        """Start the clock. `update_seconds` then adds the time since this call to `seconds`."""
        self._clock_started = time.perf_counter() - self.seconds

    def update_seconds(self) -> None:
        """Set `seconds` to the time spent in `fit` so far."""
        self.seconds = time.perf_counter() - self._clock_started

    @property
    def steps(self) -> int:
        """The number of steps."""
        return len(self.loss)

    @property
    def best(self) -> dict[str, float] | None:
        """The validation with the lowest loss, or None if there is none. NaN counts as worse than any number."""
        return min(self.valid, key=lambda record: (math.isnan(record["loss"]), record["loss"]), default=None)

    def recent_loss(self, steps: int = 50) -> float:
        """Return the mean training loss of the latest `steps` steps, or NaN if there is no step."""
        latest = self.loss[-steps:]
        return sum(latest) / len(latest) if latest else float("nan")

    def to_dict(self) -> dict[str, Any]:
        """Return the record as a dict that JSON can store. ``History(**record)`` restores it."""
        return {"loss": self.loss, "lr": self.lr, "norm": self.norm, "valid": self.valid, "seconds": self.seconds}
