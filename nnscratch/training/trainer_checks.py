"""Checks of Trainer: its arguments, the arguments of `fit`, and the thread. Each raises before anything changes."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..checks import at_least, check_instance, positive_int
from ..modes import one_thread_trains
from ..module import Module
from ..optim import Optimizer
from ..optim.lr_scheduler import LRScheduler
from .callback import Callback

if TYPE_CHECKING:
    from ..privacy import DPSGD
    from .trainer import Trainer


def in_one_thread(method: Callable) -> Callable:
    """Let a method of Trainer raise RuntimeError if another thread is using the model or the criterion."""

    @functools.wraps(method)
    def checked(trainer: Trainer, *args: Any, **kwargs: Any) -> Any:
        for name in ("model", "criterion"):  # you may have changed them
            check_instance("Trainer", name, getattr(trainer, name), Module)
        with one_thread_trains(trainer.model, trainer.criterion):
            return method(trainer, *args, **kwargs)

    return checked


def check_objects(model: Any, criterion: Any, optimizer: Any, scheduler: Any, callbacks: Sequence[Any]) -> None:
    """Check the types, and that the optimiser has parameters of the model."""
    check_instance("Trainer", "model", model, Module)
    check_instance("Trainer", "criterion", criterion, Module)
    check_instance("Trainer", "optimizer", optimizer, Optimizer)
    if scheduler is not None:
        check_instance("Trainer", "scheduler", scheduler, LRScheduler)
    if not {id(p) for p in model.parameters()} & {id(p) for p in optimizer.parameters}:
        raise ValueError("the optimizer has none of the model's parameters: build it with model.parameters()")
    for callback in callbacks:
        check_instance("Trainer", "callbacks", callback, Callback)


def limit_of_gradient(name: str) -> property:
    """Return a property of Trainer that checks each new value. None becomes infinity, which is no limit."""

    def get(trainer: Trainer) -> float:
        return vars(trainer)[f"_{name}"]

    def set_checked(trainer: Trainer, value: float | None) -> None:
        no_limit = value is None or (isinstance(value, float) and value == math.inf)
        vars(trainer)[f"_{name}"] = math.inf if no_limit else at_least(name, value, 0)

    return property(get, set_checked)


def check_batches(trainer: Trainer, batches: Any, valid: Any) -> None:
    """Check the arguments of `fit` before the first step, as far as this is possible without drawing a batch."""
    # Checked again, since you may have changed an attribute of the trainer.
    check_objects(trainer.model, trainer.criterion, trainer.optimizer, trainer.scheduler, trainer.callbacks)
    positive_int("accumulate", trainer.accumulate)
    check_pairs("batches", batches)
    if valid is not None:
        check_can_be_repeated(valid)
        check_pairs("valid", valid)
    scheduler = trainer.scheduler
    if valid is None and scheduler is not None and scheduler.after_validation:
        raise ValueError(f"{type(scheduler).__name__} needs the validation loss: give fit(..., valid=...)")
    if trainer.privacy is not None:
        trainer.privacy.check_batches(batches)


def check_can_be_repeated(valid: Any) -> None:
    """Raise if `valid` is empty, or gives its batches only once."""
    # Call iter() only on an iterator: for a data loader, it may draw a random order or start threads.
    is_iterator = hasattr(valid, "__next__") and iter(valid) is valid
    if is_iterator or not (hasattr(valid, "__iter__") or hasattr(valid, "__getitem__")):
        raise TypeError(
            f"fit: valid must be iterable more than once: give a list, Batches or TextBatches, "
            f"not a {type(valid).__name__}"
        )
    with contextlib.suppress(TypeError):  # not every iterable has a length
        if len(valid) == 0:
            raise ValueError("fit: valid has no batches")


def check_pairs(name: str, batches: Any) -> None:
    """Raise if `batches` is a list or tuple with an element that is not a pair (inputs, targets)."""
    for batch in batches if isinstance(batches, (list, tuple)) else ():
        if not isinstance(batch, (tuple, list)) or len(batch) != 2:
            raise TypeError(f"fit: {name} needs batches that are pairs (inputs, targets), got a {type(batch).__name__}")


def checked_privacy(trainer: Trainer, privacy: DPSGD) -> DPSGD:
    """Return `privacy`. Raise if it does not fit the model or the other settings of the trainer."""
    from ..privacy import DPSGD  # imported here, because privacy imports training

    check_instance("Trainer", "privacy", privacy, DPSGD)
    alone = trainer.split_batch is None and trainer.together is None and trainer.accumulate == 1
    if not alone or min(trainer.max_norm, trainer.clip_value) < math.inf:
        raise ValueError(
            "privacy clips each example of one batch in one process: leave out max_norm, clip_value, accumulate, "
            "threads and communicator"
        )
    privacy.check(trainer.model, trainer.criterion, trainer.optimizer)
    return privacy
