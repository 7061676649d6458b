"""The kinds of step that a Trainer can make, and the choice of one.

    plain            Trainer._plain_step
    split batch      split_batch.py: parts of the batch in parallel threads
    asynchronous     async_steps.py: on a GPU, without waiting for it
    together         together.py: with other processes
    private          privacy/dpsgd.py: the gradient of each example is clipped, and noise is added

Each kind is a function of (trainer, parts) that makes one step and returns a recurrent model's next state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .async_steps import AsyncSteps, can_step_async

if TYPE_CHECKING:
    from .trainer import Trainer


def choose_step(trainer: Trainer) -> Callable[..., Any]:
    """Return the step for the trainer's settings, model and device."""
    others = trainer.privacy, trainer.split_batch
    if others == (None, None) and trainer.async_steps is None and can_step_async(trainer.model, trainer.optimizer):
        trainer.async_steps = AsyncSteps(trainer)
    chosen = [kind.step for kind in (*others, trainer.async_steps, trainer.together) if kind is not None]
    return chosen[0] if chosen else type(trainer)._plain_step
