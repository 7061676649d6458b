"""Validation: measure the model during training, and record the result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .evaluate import evaluate

if TYPE_CHECKING:
    from .trainer import Trainer


def validate(trainer: Trainer, batches: Any, epoch: float) -> None:
    """Add the mean loss on `batches` to the history. Step a scheduler that needs it: ReduceLROnPlateau."""
    history = trainer.history
    if trainer.together is None:
        loss = evaluate(trainer.model, trainer.criterion, batches)
    else:
        loss = trainer.together.evaluate(trainer.criterion, batches)
    history.update_seconds()
    seconds = round(history.seconds, 3)
    history.valid.append({"step": trainer.steps_done, "epoch": epoch, "loss": loss, "seconds": seconds})
    if trainer.scheduler is not None and trainer.scheduler.after_validation:
        trainer.scheduler.step(loss)


def restore_generator(trainer: Trainer, batches: Any) -> None:
    """Keep the generator of the validation batches. In a resumed run, set it to its state at the end of the old run."""
    generators = trainer.generators
    generators.valid = getattr(batches, "rng", None)
    if generators.valid is not None and generators.valid_stopped_at is not None:
        generators.valid.bit_generator.state = generators.valid_stopped_at
    generators.valid_stopped_at = None
