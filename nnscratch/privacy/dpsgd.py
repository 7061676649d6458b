"""DP-SGD: training that hides whether an example was in the data.

    batch       each example is in the batch with probability q = L / (number of examples): poisson.py
    g_n         the gradient of the loss of example n alone, over all parameters
    clip        g_n min(1, C / ||g_n||)                         no example can contribute more than C
    noise       g = (sum over n of the clipped g_n + N(0, (sigma C)^2 I)) / L
    step        the optimiser uses g, with any rule: SGD, Adam, ...
    account     epsilon(steps, q, sigma, delta): accountant.py

An attacker may know all other examples and see all weights during training. If example n is removed from the data, the
probability of any outcome changes by a factor of at most exp(epsilon), plus at most delta. If epsilon and delta are
small, the attacker can hardly find out whether example n was in the data. A larger sigma gives more privacy but more
noise. A larger C gives less clipping but more noise.

The gradient is divided by the mean batch size L, not by the size of this batch, because that size depends on the
examples in it. A batch may be empty. The step then consists of noise only.

Reference: Abadi, Chu, Goodfellow, McMahan, Mironov, Talwar and Zhang (2016), "Deep learning with differential privacy",
arXiv:1607.00133.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import backend
from ..checks import at_least, check_instance, count
from ..module import Module
from ..optim import Optimizer
from ..optim.clip import learned
from ..training.accumulate import Part
from ..training.divergence import clip_if_finite
from ..training.model_calls import num_rows
from .accountant import check_delta, divergences, epsilon_of
from .per_example import backward_per_example, check_examples_are_separate, check_has_rules, check_is_mean
from .poisson import PoissonBatches

if TYPE_CHECKING:
    from ..training.trainer import Trainer


class DPSGD:
    """Differentially private steps: ``Trainer(..., privacy=DPSGD(...))``.

    Parameters
    ----------
    batches : PoissonBatches
        The batches that you give to `Trainer.fit`. The accountant reads the sample rate from them.
    noise_multiplier : float
        sigma, 0 or more. `noise_multiplier_for` computes it from the epsilon that you allow.
    max_norm : float
        C, the norm to which each example's gradient is clipped.
    delta : float
        The delta that `epsilon` uses. Choose less than 1 / (number of examples).
    rng : None, int or numpy.random.Generator
        The source of the noise. With a seed you can repeat a run, but a person who knows the seed can subtract the
        noise. Keep the seed secret, or give None.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> x, y = nn.data.xor(500, rng=0)
    >>> batches = nn.privacy.PoissonBatches(x, y.astype(int), batch_size=50, rng=0)
    >>> privacy = nn.privacy.DPSGD(batches, noise_multiplier=1.0, max_norm=1.0, delta=1e-3, rng=0)
    >>> model = nn.models.MLP([2, 8, 2], rng=0)
    >>> optimizer = nn.optim.Adam(model.parameters(), lr=0.02)
    >>> trainer = nn.Trainer(model, nn.CrossEntropyLoss(), optimizer, privacy=privacy)
    >>> history = trainer.fit(batches, steps=100)
    >>> round(privacy.epsilon(trainer.steps_done), 2)
    5.64
    """

    def __init__(
        self,
        batches: PoissonBatches,
        *,
        noise_multiplier: float,
        max_norm: float,
        delta: float,
        rng: None | int | np.random.Generator = None,
    ):
        check_instance("DPSGD", "batches", batches, PoissonBatches)
        self.batches = batches
        self.noise_multiplier = at_least("noise_multiplier", noise_multiplier, 0)
        self.max_norm = at_least("max_norm", max_norm, 0)
        if self.max_norm == 0:
            raise ValueError("max_norm must be above 0: with 0, every step is noise alone")
        self.delta = check_delta(delta)
        self.rng = backend.generator(rng)
        self._checked = False  # True after the first batch of two examples or more
        self._divergences = divergences(batches.sample_rate, self.noise_multiplier)

    def epsilon(self, steps: int) -> float:
        """Return the epsilon of `steps` steps, for this object's delta."""
        return epsilon_of(count("steps", steps), self._divergences, self.delta)

    def settings(self) -> dict[str, float]:
        """Return the settings that determine the epsilon of a step.

        A checkpoint saves them, because they must not change during a run.
        """
        return {"sample_rate": self.batches.sample_rate, "noise_multiplier": self.noise_multiplier}

    def check(self, model: Module, criterion: Module, optimizer: Optimizer) -> None:
        """Raise ValueError if the model, the loss or the optimiser does not allow private steps."""
        check_has_rules(model)
        check_is_mean(criterion)
        in_model = {id(parameter) for parameter in model.parameters()}
        if not learned(optimizer.parameters):
            raise ValueError("private training needs a parameter that learns, but all parameters are frozen")
        if not all(id(parameter) in in_model for parameter in learned(optimizer.parameters)):
            raise ValueError("the optimizer has parameters that are not in the model: their gradients are not clipped")

    def check_batches(self, batches: Any) -> None:
        """Raise ValueError if `Trainer.fit` was called with other batches than those given to `DPSGD`."""
        if batches is not self.batches:
            raise ValueError(
                "with privacy, fit(batches) needs the same PoissonBatches that you gave to DPSGD: epsilon holds for "
                "their sample rate only"
            )

    def step(self, trainer: Trainer, parts: Sequence[Part]) -> None:
        """Make one step: gradients of each example -> clip each -> sum -> noise -> step. A recurrent state is dropped.

        An example must not depend on another example, so each sequence starts from a zero state.
        """
        ((inputs, targets, _),) = parts
        optimizer, lr, L, C = trainer.optimizer, trainer.optimizer.lr, self.batches.batch_size, self.max_norm
        trainer.zero_grad()
        # An empty batch has no loss, so the last loss is repeated.
        loss = trainer.recorded.loss[-1] if trainer.recorded.loss else 0.0
        if num_rows(inputs) > 0:
            if not self._checked and num_rows(inputs) > 1:
                check_examples_are_separate(trainer.model, inputs)
                self._checked = True
            examples, loss = backward_per_example(trainer.model, trainer.criterion, inputs, targets)
            norms = examples.norms()
            xp = backend.array_module(norms)
            examples.add_weighted(xp.minimum(1, C / xp.maximum(norms, 1e-12)) / L)  # clip each gradient, and sum
        for parameter in learned(optimizer.parameters):
            noise = self.rng.standard_normal(parameter.shape, dtype=np.float32) * (self.noise_multiplier * C / L)
            parameter.grad += backend.to_device(noise.astype(parameter.dtype), parameter.device)
        trainer.call("on_backward_end")
        loss, norm = clip_if_finite(loss, optimizer.parameters, math.inf, math.inf)  # raises if NaN or infinite
        optimizer.step()
        trainer.recorded.add_step(loss, lr, norm)
