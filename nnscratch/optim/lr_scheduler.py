"""Learning-rate schedules: the learning rate as a function of the number of steps.

    optimizer.step()
    scheduler.step()        sets the learning rate of every parameter group for the next step

Each schedule is one formula, ``factor(steps)``. The learning rate of a group is this factor times its initial rate,
`base_lr`. A schedule that has a lowest rate defines ``rate(base_lr, steps)`` instead. ReduceLROnPlateau depends on the
validation loss, not on the number of steps: call ``scheduler.step(loss)`` after each validation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..checks import at_least, check_instance, count, finite, positive_int, probability, short
from .optimizer import Optimizer


class LRScheduler:
    """Base class of all schedules: set the ``lr`` of each parameter group to ``base_lr * factor(steps)``.

    A subclass defines `factor`, or `rate`.

    Parameters
    ----------
    optimizer : Optimizer
        The current ``lr`` of each parameter group becomes its ``base_lr``.

    Examples
    --------
    Write a schedule, 1/sqrt(steps + 1):

    >>> import numpy as np, nnscratch as nn
    >>> class InverseSquareRoot(LRScheduler):
    ...     def factor(self, steps):
    ...         return 1 / math.sqrt(steps + 1)
    >>> optimizer = nn.optim.SGD([nn.Parameter(np.zeros(1))], lr=1.0)
    >>> scheduler = InverseSquareRoot(optimizer)
    >>> for _ in range(3):
    ...     scheduler.step()
    >>> optimizer.lr
    0.5
    """

    after_validation = False
    """True if you call ``step(loss)`` after each validation, False if you call ``step()`` after each optimiser step."""

    def __init__(self, optimizer: Optimizer):
        check_instance(type(self).__name__, "optimizer", optimizer, Optimizer)
        self.optimizer, self.base_lrs, self.steps = optimizer, [group["lr"] for group in optimizer.param_groups], 0
        self._set_rates()

    def step(self) -> None:
        """Set the learning rate of the next step. Call it after each ``optimizer.step()``."""
        self.steps += 1
        self._set_rates()

    def _set_rates(self) -> None:
        for group, base_lr in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            try:
                group["lr"] = self.rate(base_lr, self.steps)
            except OverflowError:  # a power that is too large for a float; the next optimizer.step() refuses the rate
                group["lr"] = math.inf

    def rate(self, base_lr: float, steps: int) -> float:
        """Return the learning rate, after `steps` steps, of a group whose initial rate is `base_lr`."""
        return base_lr * self.factor(steps)

    def factor(self, steps: int) -> float:
        """Return the factor of the learning rate after `steps` steps. A subclass defines this method."""
        raise TypeError(f"{type(self).__name__} has no factor method")

    def state_dict(self) -> dict[str, Any]:
        """Return the values that `load_state_dict` needs to continue this schedule."""
        return {"base_lrs": list(self.base_lrs), "steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue the schedule that `state_dict` described, and set the optimiser's learning rates.

        Raises
        ------
        TypeError, ValueError
            `state` is not a dict, belongs to another schedule or other parameter groups, or contains an impossible
            value. The schedule is unchanged.
        """
        if not isinstance(state, dict):
            raise TypeError(f"{type(self).__name__} expects a dict, got {type(state).__name__}")
        state = dict(state)
        if "base_lr" in state:  # a state of an older version, which had no parameter groups
            state["base_lrs"] = [state.pop("base_lr")]
        if set(state) != set(self.state_dict()):
            own = sorted(self.state_dict())
            raise ValueError(f"{type(self).__name__} expects {own}, got {sorted(map(str, state))}")
        if not isinstance(state["base_lrs"], (list, tuple)):
            raise TypeError(f"base_lrs must be a list of numbers, got {short(state['base_lrs'])}")
        if len(state["base_lrs"]) != len(self.base_lrs):
            raise ValueError(
                f"{type(self).__name__}: the optimizer has {len(self.base_lrs)} parameter groups, "
                f"and the state has {len(state['base_lrs'])} rates"
            )
        self._load(state)
        self._set_rates()

    def _load(self, state: dict[str, Any]) -> None:
        base_lrs, steps = [at_least("base_lr", rate, 0) for rate in state["base_lrs"]], count("steps", state["steps"])
        self.base_lrs, self.steps = base_lrs, steps


class StepLR(LRScheduler):
    """Multiply the rate by `gamma` every `step_size` steps: factor = gamma ^ floor(steps / step_size).

    With `hold`, the first multiplication comes after `hold` steps, and the next ones every `step_size` steps.

    Parameters
    ----------
    optimizer : Optimizer
    step_size : int
    gamma : float
        0 or more.
    hold : int, optional
        The number of steps before the first multiplication. The default is `step_size`.

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


class MultiStepLR(LRScheduler):
    """Multiply the rate by `gamma` at each of the `milestones`: factor = gamma ^ (number of milestones <= steps).

    Parameters
    ----------
    optimizer : Optimizer
    milestones : sequence of int
        Numbers of steps, each 1 or more. A number that is given twice counts twice.
    gamma : float
        0 or more.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> optimizer = nn.optim.SGD([nn.Parameter(np.zeros(1))], lr=1.0)
    >>> scheduler = nn.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[2, 3], gamma=0.5)
    >>> rates = []
    >>> for _ in range(5):
    ...     rates.append(optimizer.lr)
    ...     scheduler.step()
    >>> rates
    [1.0, 1.0, 0.5, 0.25, 0.25]
    """

    def __init__(self, optimizer: Optimizer, milestones: Sequence[int], gamma: float = 0.1):
        self.milestones = [positive_int(f"milestones[{k}]", step) for k, step in enumerate(milestones)]
        self.gamma = at_least("gamma", gamma, 0)
        super().__init__(optimizer)

    def factor(self, steps: int) -> float:
        return self.gamma ** sum(milestone <= steps for milestone in self.milestones)


class CosineAnnealingLR(LRScheduler):
    """Decrease the rate to `eta_min` along half a cosine over `T_max` steps, after `warmup` steps of linear increase.

        lr = base_lr (steps + 1) / (warmup + 1)                                     if steps < warmup
        lr = eta_min + (base_lr - eta_min) (1 + cos(pi s / (T_max - warmup))) / 2   with s = steps - warmup

    After T_max steps the rate stays at eta_min.

    Reference: Loshchilov and Hutter (2017), "SGDR: stochastic gradient descent with warm restarts", arXiv:1608.03983.

    Parameters
    ----------
    optimizer : Optimizer
    T_max : int
        The number of steps, warm-up included.
    eta_min : float
        The lowest rate, 0 or more.
    warmup : int
        0 or more, below `T_max`.

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

    def rate(self, base_lr: float, steps: int) -> float:
        if steps < self.warmup:
            return base_lr * (steps + 1) / (self.warmup + 1)
        return between(base_lr, self.eta_min, min(1.0, (steps - self.warmup) / (self.T_max - self.warmup)))


class LinearWarmup(LRScheduler):
    """Increase the rate linearly from ``start_factor * lr`` to ``lr`` over `warmup_steps` steps. It then stays at `lr`.

    factor = start + (1 - start) steps / warmup_steps, at most 1. By default start = 1 / (warmup_steps + 1), so the rate
    increases by the same amount at each step. In PyTorch: ``LinearLR(start_factor=..., total_iters=warmup_steps)``.

    Reference: Goyal et al. (2017), "Accurate, large minibatch SGD: training ImageNet in 1 hour", arXiv:1706.02677.

    Parameters
    ----------
    optimizer : Optimizer
    warmup_steps : int
    start_factor : float, 0 <= start_factor < 1, optional

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> optimizer = nn.optim.SGD([nn.Parameter(np.zeros(1))], lr=1.0)
    >>> scheduler = nn.optim.lr_scheduler.LinearWarmup(optimizer, warmup_steps=3)
    >>> rates = []
    >>> for _ in range(5):
    ...     rates.append(optimizer.lr)
    ...     scheduler.step()
    >>> rates
    [0.25, 0.5, 0.75, 1.0, 1.0]
    """

    def __init__(self, optimizer: Optimizer, warmup_steps: int, start_factor: float | None = None):
        self.warmup_steps = positive_int("warmup_steps", warmup_steps)
        self.start_factor = (
            1 / (self.warmup_steps + 1) if start_factor is None else probability("start_factor", start_factor)
        )
        super().__init__(optimizer)

    def factor(self, steps: int) -> float:
        return self.start_factor + (1 - self.start_factor) * min(1.0, steps / self.warmup_steps)


class OneCycleLR(LRScheduler):
    """Increase the rate to `max_lr`, then decrease it far below the first rate: one cycle over `total_steps` steps.

    The rate starts at max_lr / div_factor. It reaches max_lr after ``pct_start * total_steps - 1`` steps, and max_lr /
    div_factor / final_div_factor at step total_steps - 1. Then it stays there. Both parts follow half a cosine. The
    optimiser's initial rates are not used: all groups have the same rate. The momentum does not change, as in PyTorch
    with ``cycle_momentum=False``.

    Reference: Smith and Topin (2019), "Super-convergence: very fast training of neural networks using large learning
    rates", arXiv:1708.07120.

    Parameters
    ----------
    optimizer : Optimizer
    max_lr : float
    total_steps : int
    pct_start : float, 0 <= pct_start < 1
        The fraction of the steps in which the rate increases.
    div_factor, final_div_factor : float
        1 or more.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> optimizer = nn.optim.SGD([nn.Parameter(np.zeros(1))], lr=1.0)
    >>> scheduler = nn.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=10)
    >>> rates = []
    >>> for _ in range(10):
    ...     rates.append(round(optimizer.lr, 2))
    ...     scheduler.step()
    >>> rates
    [0.04, 0.52, 1.0, 0.95, 0.81, 0.61, 0.39, 0.19, 0.05, 0.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float,
        total_steps: int,
        pct_start: float = 0.3,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
    ):
        self.total_steps = positive_int("total_steps", total_steps)
        self.div_factor = at_least("div_factor", div_factor, 1)
        self.final_div_factor = at_least("final_div_factor", final_div_factor, 1)
        self.peak = probability("pct_start", pct_start) * self.total_steps - 1
        if self.peak <= 0 or self.total_steps - 1 <= self.peak:
            raise ValueError(
                f"total_steps is too small for both an increase and a decrease of the rate: got {total_steps}, with "
                f"pct_start {pct_start}"
            )
        self.max_lr = at_least("max_lr", max_lr, 0)
        super().__init__(optimizer)

    def rate(self, base_lr: float, steps: int) -> float:
        start, end = self.max_lr / self.div_factor, self.max_lr / self.div_factor / self.final_div_factor
        if steps <= self.peak:
            return between(start, self.max_lr, steps / self.peak)
        return between(self.max_lr, end, min(1.0, (steps - self.peak) / (self.total_steps - 1 - self.peak)))


def between(first: float, last: float, progress: float) -> float:
    """Return a value between `first` (progress 0) and `last` (progress 1), along half a cosine."""
    return last + (first - last) * (1 + math.cos(math.pi * progress)) / 2


class ReduceLROnPlateau(LRScheduler):
    """Multiply the rate by `factor` when more than `patience` validation losses in a row have not improved.

    A loss improves if it is below ``best - threshold * abs(best)``, where best is the best loss so far. After each
    reduction, the next `cooldown` losses do not count. For losses of 0 or more, this is PyTorch's
    ``mode="min"``. If the best loss is negative, PyTorch counts even a slightly worse loss as an improvement.

    Call ``scheduler.step(loss)`` after each validation. A Trainer makes this call automatically.

    Parameters
    ----------
    optimizer : Optimizer
    factor : float, 0 <= factor < 1
    patience : int
        The number of losses in a row that may fail to improve. The next loss without an improvement reduces the rate.
    threshold : float, 0 <= threshold < 1
    cooldown : int
    min_lr : float
        The rate is never reduced below this value.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> optimizer = nn.optim.SGD([nn.Parameter(np.zeros(1))], lr=1.0)
    >>> scheduler = nn.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
    >>> for loss in (3.0, 2.0, 2.0, 2.5):
    ...     scheduler.step(loss)
    >>> optimizer.lr
    0.5
    """

    after_validation = True

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ):
        self.gamma, self.threshold = probability("factor", factor), probability("threshold", threshold)
        self.patience, self.cooldown = count("patience", patience), count("cooldown", cooldown)
        self.min_lr = at_least("min_lr", min_lr, 0)
        self.cuts, self.bad, self.resting = 0, 0, 0
        self.best: float | None = None
        super().__init__(optimizer)

    def rate(self, base_lr: float, steps: int) -> float:
        """Return `base_lr` times `factor` to the power of the number of reductions, but at least `min_lr`."""
        return max(min(base_lr, self.min_lr), base_lr * self.gamma**self.cuts)

    def step(self, loss: float) -> None:
        """Set the learning rate of the next step. Call it after each validation, with the validation loss."""
        finite("loss", loss)
        if self.best is None or loss < self.best - self.threshold * abs(self.best):
            self.best, self.bad = float(loss), 0
        else:
            self.bad += 1
        if self.resting:
            self.resting, self.bad = self.resting - 1, 0
        if self.bad > self.patience:
            self.cuts, self.bad, self.resting = self.cuts + 1, 0, self.cooldown
        super().step()

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {name: getattr(self, name) for name in ("best", "cuts", "bad", "resting")}

    def _load(self, state: dict[str, Any]) -> None:
        best = None if state["best"] is None else finite("best", state["best"])
        cuts, bad, resting = (count(name, state[name]) for name in ("cuts", "bad", "resting"))
        super()._load(state)
        self.best, self.cuts, self.bad, self.resting = best, cuts, bad, resting
