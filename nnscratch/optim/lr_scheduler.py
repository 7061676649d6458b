"""Learning-rate schedules: the step size as a function of how many steps were made.

    optimizer.step()
    scheduler.step()        sets optimizer.lr for the next step

Each schedule is one formula, `factor(steps)`; the learning rate is the factor times the one the optimiser began with.
"""

from __future__ import annotations

import math

from ..module import positive_int
from .optimizer import Optimizer, at_least


class LRScheduler:
    """Sets ``optimizer.lr`` to ``base_lr * factor(steps)``; a subclass writes `factor`."""

    def __init__(self, optimizer: Optimizer):
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"a schedule needs an optimizer, got {type(optimizer).__name__}")
        self.optimizer, self.base_lr, self.steps = optimizer, optimizer.lr, 0
        optimizer.lr = self.base_lr * self.factor(0)

    def step(self) -> None:
        """Call after each ``optimizer.step()``."""
        self.steps += 1
        self.optimizer.lr = self.base_lr * self.factor(self.steps)

    def factor(self, steps: int) -> float:
        raise TypeError(f"{type(self).__name__} has no factor method")

    def state_dict(self) -> dict[str, float]:
        return {"base_lr": self.base_lr, "steps": self.steps}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.base_lr, self.steps = float(state["base_lr"]), int(state["steps"])
        self.optimizer.lr = self.base_lr * self.factor(self.steps)


class StepLR(LRScheduler):
    """Multiply by `gamma` every `step_size` steps: factor = gamma ^ floor(steps / step_size).

    With `hold`, the first multiplication comes after so many steps, and then one every `step_size`.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> optimizer = nn.optim.SGD([nn.Parameter(np.zeros(1))], lr=1.0)
    >>> scheduler = nn.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.1)
    >>> for _ in range(2):
    ...     scheduler.step()
    >>> optimizer.lr
    0.1
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, hold: int | None = None):
        self.step_size, self.gamma = positive_int("step_size", step_size), at_least("gamma", gamma, 0)
        self.hold = self.step_size if hold is None else positive_int("hold", hold)
        super().__init__(optimizer)

    def factor(self, steps: int) -> float:
        return self.gamma ** max(0, (steps - self.hold) // self.step_size + 1)


class CosineAnnealingLR(LRScheduler):
    """Half a cosine from the full rate down to `eta_min` over `T_max` steps, after `warmup` steps of rising.

    With s steps after the warm-up of w:  lr = eta_min + (base_lr - eta_min) (1 + cos(pi s / (T_max - w))) / 2; past
    T_max it stays at eta_min. While rising, lr = base_lr (steps + 1) / (w + 1).

    Reference: Loshchilov and Hutter (2017), "SGDR: stochastic gradient descent with warm restarts".

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> optimizer = nn.optim.SGD([nn.Parameter(np.zeros(1))], lr=1.0)
    >>> scheduler = nn.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=4)
    >>> for _ in range(2):
    ...     scheduler.step()
    >>> round(optimizer.lr, 6)
    0.5
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, warmup: int = 0):
        self.T_max, self.eta_min = positive_int("T_max", T_max), at_least("eta_min", eta_min, 0)
        if isinstance(warmup, bool) or not isinstance(warmup, int) or not 0 <= warmup < T_max:
            raise ValueError(f"warmup must be an integer in 0..T_max-1, got {warmup!r}")
        self.warmup = warmup
        super().__init__(optimizer)

    def factor(self, steps: int) -> float:
        if steps < self.warmup:
            return (steps + 1) / (self.warmup + 1)
        low = self.eta_min / self.base_lr if self.base_lr else 0.0
        progress = min(1.0, (steps - self.warmup) / (self.T_max - self.warmup))
        return low + (1 - low) * (1 + math.cos(math.pi * progress)) / 2
