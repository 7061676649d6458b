"""Asynchronous steps: on a GPU, enqueue many steps before the loss of the first one is read.

Python only enqueues work, and the GPU runs this work in order. Reading a loss waits until all earlier work is done, and
then the GPU is idle until Python enqueues more. But a step may change the weights only if loss and gradient are finite.
So the GPU makes this check, where g is the gradient and norm is its norm:

    all_finite = all_finite and loss is finite and norm is finite       starts at 1; once it is 0, it stays 0
    g          = g * max_norm / norm                                    only if all_finite, and norm > max_norm
    w          = w after the optimiser's step                           only if all_finite

Losses and norms stay on the GPU until they are needed. One copy then reads them all. If one of them is not finite, the
GPU has not changed the weights in that step or in a later one. The Trainer then restores the state on the CPU (step
count, learning rate, random generators) from before that step. It runs forward and backward on that batch again, to
find where the problem began.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .. import backend
from ..backend import Array
from ..module import Module
from ..optim import Optimizer
from ..optim.clip import clip_grad_value_, gradients_of
from .accumulate import Part
from .checkpoint import generators
from .divergence import NotFinite, explain_divergence
from .model_calls import arrays_of, forward_and_backward

if TYPE_CHECKING:
    from .trainer import Trainer


class EnqueuedStep(NamedTuple):
    """The batches of an enqueued step, and the CPU's state before it."""

    parts: Sequence[Part]
    lr: float
    cpu_state: dict[str, Any]


class AsyncSteps:
    """An asynchronous step, and the steps whose losses are not read yet. It is an alternative to the plain step.

    Parameters
    ----------
    trainer : Trainer
        `can_step_async` must return True for its model and optimiser.
    """

    MAX_STEPS = 64  # read the losses after this many steps: all steps after a divergence are wasted
    MAX_BYTES = 1 << 28  # also read them when the batches of these steps take more memory than this

    def __init__(self, trainer: Trainer):
        xp = backend.array_module(trainer.optimizer.parameters[0].data)
        self.generators = generators(trainer.model)
        self.steps: list[EnqueuedStep] = []
        self.bytes = 0  # the memory of the batches in self.steps
        self.results = xp.zeros((self.MAX_STEPS, 2), dtype=np.float64)  # loss and norm of each step in self.steps
        self.all_finite = xp.ones(1, dtype=np.int32)  # 1 while all results are finite
        self.clip, self.factor = xp.zeros(1, dtype=np.int32), xp.ones(1, dtype=np.float64)

    def step(self, trainer: Trainer, parts: Sequence[Part]) -> Any:
        """Enqueue forward -> loss -> backward -> clip -> step. Return the model's next state.

        This waits for the GPU only if `MAX_STEPS` losses are not read yet, or if their batches exceed `MAX_BYTES`.
        """
        optimizer, max_norm = trainer.optimizer, trainer.max_norm
        step = EnqueuedStep(parts, optimizer.lr, self._cpu_state(trainer))
        trainer.zero_grad()
        compute = forward_and_backward if trainer.together is None else trainer.together.forward_and_backward
        loss, next_hidden = compute(trainer.model, trainer.criterion, parts, trainer.hidden)
        trainer.call("on_backward_end")
        gradients = gradients_of(optimizer.parameters)
        squares = sum(backend.sums_of_squares(gradients))
        if isinstance(loss, float):  # a criterion of the user may have returned a number
            loss = backend.array_module(self.results).full(1, loss)
        check_and_record(
            loss, squares, max_norm, len(self.steps), self.all_finite, self.clip, self.factor, self.results
        )
        if max_norm < math.inf:
            with backend.only_if(self.clip):
                scale_by(self.factor, gradients)
        if trainer.clip_value < math.inf:
            # Clip without a test if the gradients are finite. If they are not, the GPU skips optimizer.step() below.
            clip_grad_value_(optimizer.parameters, trainer.clip_value)
        with backend.only_if(self.all_finite):
            optimizer.step()
        self.steps.append(step)
        arrays = [a for part in parts for a in (*arrays_of(part.inputs), part.targets)]
        self.bytes += sum(getattr(a, "nbytes", 0) for a in (*arrays, *arrays_of(trainer.hidden)))
        if len(self.steps) == self.MAX_STEPS or self.bytes > self.MAX_BYTES:
            self.finish(trainer)
        return next_hidden

    def finish(self, trainer: Trainer) -> None:
        """Wait for all enqueued steps and add their results to the trainer's history.

        Raises
        ------
        TrainingDiverged
            The loss or gradient of a step was not finite. The trainer is as it was before that step.
        """
        if not self.steps:
            return
        results = backend.to_numpy(self.results).tolist()
        steps, self.steps, self.bytes = self.steps, [], 0
        self.all_finite.fill(1)
        for step, (loss, norm) in zip(steps, results, strict=False):
            if not (math.isfinite(loss) and math.isfinite(norm)):
                self._restore_cpu_state(trainer, step.cpu_state)
                trainer.zero_grad()
                with explain_divergence(trainer, step.parts):
                    forward_and_backward(trainer.model, trainer.criterion, step.parts, trainer.hidden)
                    raise NotFinite(loss)
            trainer.recorded.add_step(loss, step.lr, norm)

    def _cpu_state(self, trainer: Trainer) -> dict[str, Any]:
        """Return everything on the CPU that a training step changes, so that it can be restored."""
        return {
            "steps_done": trainer.steps_done,
            "rates": [group["lr"] for group in trainer.optimizer.param_groups],
            "optimizer_steps": trainer.optimizer.steps,
            "scheduler": None if trainer.scheduler is None else trainer.scheduler.state_dict(),
            "rng": [rng.bit_generator.state for rng in self.generators],
            "hidden": trainer.hidden,
            "epoch_rng": trainer.generators.epoch_start,
        }

    def _restore_cpu_state(self, trainer: Trainer, state: dict[str, Any]) -> None:
        trainer.steps_done = state["steps_done"]
        if trainer.scheduler is not None:
            trainer.scheduler.load_state_dict(state["scheduler"])
        trainer.optimizer.steps = state["optimizer_steps"]
        for group, rate in zip(trainer.optimizer.param_groups, state["rates"], strict=True):
            group["lr"] = rate
        for rng, rng_state in zip(self.generators, state["rng"], strict=True):
            rng.bit_generator.state = rng_state
        trainer.hidden, trainer.generators.epoch_start = state["hidden"], state["epoch_rng"]


def can_step_async(model: Module, optimizer: Optimizer) -> bool:
    """True if all parameters are on a GPU, and a step that the GPU skips leaves everything unchanged.

    False for a model with buffers, because BatchNorm updates its running averages in forward. Also False for float16,
    and for an optimiser whose update is not one of this package's kernels.
    """
    kernels = type(optimizer).step is Optimizer.step and getattr(optimizer.update, "takes_lists", False)
    on_gpu = all(backend.launch_bound(p.data) and p.data.dtype != np.float16 for p in optimizer.parameters)
    return kernels and on_gpu and not any(model.named_buffers())


@backend.fused(
    "T loss, float64 squares, float64 max_norm, int64 k",
    "int32 all_finite, int32 clip, float64 factor, raw float64 results",
    """
    const double norm = sqrt(squares);
    results[2 * k] = loss;
    results[2 * k + 1] = norm;
    all_finite = all_finite && isfinite((double)loss) && isfinite(norm);
    clip = all_finite && norm > max_norm;
    factor = clip ? max_norm / norm : 1.0;
    """,
)
def check_and_record(
    loss: Array, squares: Array, max_norm: float, k: int, all_finite: Array, clip: Array, factor: Array, results: Array
) -> None:
    """Record loss and norm of step k. Set `all_finite`, `clip` and the `factor` that clips the gradients."""
    norm = np.sqrt(np.float64(squares))
    results[k] = loss, norm
    all_finite[:] = all_finite & np.isfinite(loss) & np.isfinite(norm)
    clip[:] = all_finite & (norm > max_norm)
    factor[:] = np.where(clip, max_norm / norm, 1)


@backend.fused("raw float64 factor", "T g", "g *= (T)factor[0];")
def scale_by(factor: Array, g: Array | list[Array]) -> None:
    """Compute g = factor g, in place."""
    g *= g.dtype.type(factor[0])
