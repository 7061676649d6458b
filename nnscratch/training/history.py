"""History: what a training run measured, step by step and at each validation."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any


@dataclass
class History:
    """The record of a training run.

    Attributes
    ----------
    loss : list of float
        The training loss of every step, as the criterion gives it: a cross-entropy in nats per target.
    lr, norm : list of float
        The learning rate and the gradient's norm before clipping, of every step.
    valid : list of dict
        One for each validation: ``step``, ``epoch``, ``loss`` and ``seconds`` since training began.
    seconds : float
        Time spent, over all the calls of ``fit`` that led here.

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

    def add_step(self, loss: float, lr: float, norm: float) -> None:
        """Record one step."""
        self.loss.append(loss)
        self.lr.append(lr)
        self.norm.append(norm)

    @property
    def steps(self) -> int:
        return len(self.loss)

    @property
    def best(self) -> dict[str, float] | None:
        """The validation with the lowest loss, or None before the first. One of NaN is worse than any other."""
        return min(self.valid, key=lambda record: (math.isnan(record["loss"]), record["loss"]), default=None)

    def recent_loss(self, steps: int = 50) -> float:
        """The mean training loss of the latest steps."""
        latest = self.loss[-steps:]
        return sum(latest) / len(latest) if latest else float("nan")

    def to_dict(self) -> dict[str, Any]:
        return {"loss": self.loss, "lr": self.lr, "norm": self.norm, "valid": self.valid, "seconds": self.seconds}
