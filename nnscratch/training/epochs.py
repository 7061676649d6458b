"""The batches of a run, epoch after epoch. A resumed run may start in the middle of an epoch."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..checks import at_least, positive_int

if TYPE_CHECKING:
    from .trainer import Trainer


@dataclass
class BatchGenerators:
    """The random generators of a run's batches, and the states that a resumed run needs.

    Attributes
    ----------
    batches, valid : numpy.random.Generator or None
        The generators of the batches and of the validation batches given to `fit`, if they draw random numbers.
    epoch_start : dict or None
        The state of `batches` when this epoch began.
    batches_stopped_at, valid_stopped_at : dict or None
        After `resume`, the states that both generators had when the saved run stopped. `fit` restores them.
    """

    batches: np.random.Generator | None = None
    valid: np.random.Generator | None = None
    epoch_start: dict[str, Any] | None = None
    batches_stopped_at: dict[str, Any] | None = None
    valid_stopped_at: dict[str, Any] | None = None


def steps_in_epoch(batches: Any, accumulate: int) -> int:
    """Return the number of steps in one epoch. A step uses `accumulate` batches, and the last may use fewer batches."""
    return -(-len(batches) // accumulate)


def total_steps(batches: Any, epochs: float | None, steps: int | None, accumulate: int) -> int:
    """Return `steps`, or the number of steps in `epochs` epochs of `batches`. Raise if an argument is invalid."""
    if (epochs is None) == (steps is None):
        raise TypeError("fit needs either epochs or steps")
    if not hasattr(batches, "__len__"):
        raise TypeError(
            f"fit: batches must have a length and be iterable more than once: "
            f"give a list, Batches or TextBatches, not a {type(batches).__name__}"
        )
    if len(batches) == 0:
        raise ValueError("fit got no batches")
    if steps is None:
        steps = math.ceil(at_least("epochs", epochs, 0) * steps_in_epoch(batches, accumulate))
    return positive_int("steps", steps)


def remaining_steps(trainer: Trainer, batches: Any) -> Iterator[list[tuple[Any, Any]]]:
    """Yield the batches of each step, from the trainer's next step to its last one.

    Batches that shuffle or change their inputs have a generator, ``batches.rng``. Its state at the start of an epoch
    gives the order of that epoch. A run that continues in the middle of an epoch repeats the order from this state and
    skips the batches already used. Then the generator gets the state that it had when the run stopped.
    """
    steps = steps_in_epoch(batches, trainer.accumulate)
    generators = trainer.generators
    rng = generators.batches = getattr(batches, "rng", None)
    stopped_at, generators.batches_stopped_at = generators.batches_stopped_at, None
    if rng is not None and stopped_at is None:
        stopped_at = rng.bit_generator.state
    while trainer.steps_done < trainer.total_steps:
        steps_before = trainer.steps_done
        done = steps_before % steps
        if rng is not None:
            start = stopped_at if done == 0 else generators.epoch_start
            rng.bit_generator.state = rng.bit_generator.state if start is None else start
        elif done and stopped_at is not None:
            raise ValueError(
                "the checkpoint is from the middle of an epoch, and its batches drew random numbers, but these batches "
                "draw none: give fit the same batches"
            )
        if done == 0:
            trainer.hidden = None  # the text starts again, so a recurrent model starts from a zero state
            generators.epoch_start = None if rng is None else rng.bit_generator.state
        rest = iter(batches)
        for _ in itertools.islice(rest, done * trainer.accumulate):  # skip the batches already used
            pass
        if done and stopped_at is not None:
            rng.bit_generator.state = stopped_at
        stopped_at = None
        while of_step := list(itertools.islice(rest, trainer.accumulate)):
            for batch in of_step:
                if not isinstance(batch, (tuple, list)) or len(batch) != 2:
                    raise TypeError(f"fit needs batches that are pairs (inputs, targets), got a {type(batch).__name__}")
            yield of_step
            if trainer.steps_done == trainer.total_steps:
                return
        if trainer.steps_done == steps_before:
            raise ValueError(
                f"fit: batches has the length {len(batches)}, but iterating over it again gave no batch after number "
                f"{done * trainer.accumulate}: give a list, Batches or TextBatches"
            )
