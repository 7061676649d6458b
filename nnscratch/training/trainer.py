"""Trainer: the training loop. `Trainer._plain_step` is one step: forward -> loss -> backward -> clip -> step.

Four other kinds of step can replace it: kinds_of_step.py lists them. The other parts of a long run have their own
files: trainer_checks.py (the arguments), epochs.py (the order of the batches), model_calls.py, divergence.py,
validation.py, checkpoint.py, interrupt.py, and together.py for several processes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .. import backend
from ..checks import flag, positive_int
from ..deprecated import renamed_attribute
from ..modes import without_input_grad
from ..module import Module
from ..optim import Optimizer
from ..optim.lr_scheduler import LRScheduler
from . import checkpoint
from .accumulate import Part, scaled
from .async_steps import AsyncSteps
from .callback import Callback, call_on_fit_end
from .callbacks import automatic_bar
from .divergence import clip_if_finite, explain_divergence
from .epochs import BatchGenerators, remaining_steps, steps_in_epoch, total_steps
from .history import History
from .interrupt import INTERRUPTED, finish_step_on_ctrl_c, reason_to_stop
from .kinds_of_step import choose_step
from .model_calls import call_model, computes_own_loss, hidden_for, parts_on_device_of
from .ranks import end_all_ranks_on_error
from .split_batch import SplitBatch
from .together import training_together
from .trainer_checks import check_batches, check_objects, checked_privacy, in_one_thread, limit_of_gradient
from .validation import restore_generator, validate

if TYPE_CHECKING:
    from ..privacy import DPSGD


class Trainer:
    """Trains a model on batches. The reference page on training shows the training loop as a few lines of code.

    Parameters
    ----------
    model : Module
    criterion : Module
        ``criterion(prediction, targets)`` is the loss.
    optimizer : Optimizer
    scheduler : LRScheduler, optional
        Stepped after every optimiser step. A ReduceLROnPlateau is stepped with the loss of every validation instead.
    max_norm : float, optional
        The largest norm of the gradient. If the norm is above this number, the gradient is scaled down to this norm.
    clip_value : float, optional
        Clip every element of the gradient to [-clip_value, clip_value]. Give this or `max_norm`, not both.
    accumulate : int
        The number of batches in a step. The step equals a step on one batch that contains all their rows: see
        `training.accumulate`. The last step of an epoch may have fewer batches than this.
    callbacks : sequence of Callback
    threads : int
        Split every batch into this many parts, and run them in parallel threads. See `training.split_batch`.
    communicator : mpi4py.MPI.Comm, optional
        Train together with the other processes of ``MPI.COMM_WORLD``. See `training.together`.
    privacy : privacy.DPSGD, optional
        Makes each step private by clipping the gradient of each example. Do not give `max_norm` or `clip_value` then.
    progress : bool
        If True, `fit` shows a `ProgressBar` on a terminal and in a notebook, unless the callbacks include one.

    Attributes
    ----------
    steps_done : int
        Number of optimiser steps made so far.
    targets : int
        Number of targets in the latest step.
    stop : str or None
        To end training after the current step, set this to the reason in a callback.
    rank : int
        The number of this process among those that train together. Only rank 0 prints and writes files.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> x, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=np.float32), np.array([0, 1, 1, 0])  # exclusive or
    >>> model = nn.models.MLP([2, 8, 2], rng=0)
    >>> trainer = nn.Trainer(model, nn.CrossEntropyLoss(), nn.optim.Adam(model.parameters(), lr=0.05), max_norm=1.0)
    >>> history = trainer.fit([(x, y)], steps=100)
    >>> print(model(x).argmax(axis=1), history.steps)
    [0 1 1 0] 100
    """

    max_norm, clip_value = limit_of_gradient("max_norm"), limit_of_gradient("clip_value")
    step = renamed_attribute("step", "steps_done")
    ask_step = renamed_attribute("ask_step", "enqueue_step")

    def __init__(
        self,
        model: Module,
        criterion: Module,
        optimizer: Optimizer,
        *,
        scheduler: LRScheduler | None = None,
        max_norm: float | None = None,
        clip_value: float | None = None,
        accumulate: int = 1,
        callbacks: Sequence[Callback] = (),
        threads: int = 1,
        communicator: Any = None,
        privacy: DPSGD | None = None,
        progress: bool = True,
    ):
        callbacks = list(callbacks)
        check_objects(model, criterion, optimizer, scheduler, callbacks)
        backend.keep_freed_memory()
        self.model, self.criterion, self.optimizer, self.scheduler = model, criterion, optimizer, scheduler
        if max_norm is not None and clip_value is not None:
            raise ValueError(f"give max_norm or clip_value, not both, got {max_norm} and {clip_value}")
        self.max_norm, self.clip_value = max_norm, clip_value
        self.accumulate = positive_int("accumulate", accumulate)
        self.callbacks, self.progress = callbacks, flag("progress", progress)
        self.bar: tuple[Callback, ...] = ()
        self.steps_done, self.total_steps, self.targets = 0, 0, 0
        self.stop: str | None = None
        self.hidden: Any = None  # a recurrent model's state after the latest batch
        self.generators = BatchGenerators()
        self.recorded = History()  # without the steps that are only enqueued on a GPU
        self.split_batch = SplitBatch(model, criterion, threads) if positive_int("threads", threads) > 1 else None
        self.together = training_together(self, communicator, threads)  # None in a single process
        self.rank = 0 if self.together is None else self.together.rank
        self.privacy = None if privacy is None else checked_privacy(self, privacy)
        self.async_steps: AsyncSteps | None = None
        self._step: Callable[..., Any] | None = None  # _plain_step, or the method `step` of another kind of step

    def _plain_step(self, parts: Sequence[Part]) -> Any:
        """Make one step: forward -> loss -> backward -> clip -> step. Return a recurrent model's next state."""
        model, criterion, optimizer, lr = self.model, self.criterion, self.optimizer, self.optimizer.lr
        self.zero_grad()
        loss, hidden = 0.0, self.hidden
        for inputs, targets, fraction in parts:  # one batch with fraction 1, or `accumulate` batches
            hidden = hidden_for(model, inputs, hidden)
            if computes_own_loss(model, criterion):  # forward, loss and backward in one call: it needs less memory
                part_loss, hidden = model.loss_and_backward(inputs, targets, hidden, fraction)
            else:
                prediction, hidden = call_model(model, inputs, hidden)  # forward
                part_loss = criterion(prediction, targets)  # loss
                with without_input_grad(model):
                    model.backward(scaled(fraction, criterion.backward()))  # backward
            loss += fraction * part_loss
        self.call("on_backward_end")
        loss, norm = clip_if_finite(loss, optimizer.parameters, self.max_norm, self.clip_value)  # clip
        optimizer.step()  # step
        self.recorded.add_step(loss, lr, norm)
        return hidden

    def train_step(self, inputs: Any, targets: Any) -> float:
        """Make one step on one batch, and return the loss."""
        self.enqueue_step(inputs, targets)
        return self.history.loss[-1]

    @in_one_thread
    def enqueue_step(self, inputs: Any, targets: Any) -> None:
        """Make one step on one batch without waiting for a GPU. The loss is read when you read `history`."""
        self._enqueue([(inputs, targets)])

    def _enqueue(self, batches: Sequence[tuple[Any, Any]]) -> None:
        if self._step is None:
            self._start()
        parts = parts_on_device_of(self.model, self.criterion, batches)
        with explain_divergence(self, parts):
            self.hidden = self._step(self, parts)
        if self.scheduler is not None and not self.scheduler.after_validation:
            self.scheduler.step()
        self.steps_done += 1
        self.targets = sum(part.targets.size for part in parts)

    def zero_grad(self) -> None:
        """Clear the gradients, and the values that earlier forward calls saved for backward."""
        self.model.zero_grad()
        self.criterion.zero_grad()

    @in_one_thread
    def fit(
        self,
        batches: Any,
        valid: Any = None,
        *,
        epochs: float | None = None,
        steps: int | None = None,
        evaluate_every: int | None = None,
    ) -> History:
        """Train until `steps` steps (or `epochs` epochs) have been made, counted from the first step of this trainer.

        Parameters
        ----------
        batches : iterable of (inputs, targets), with a length
            Iterated over once per epoch. If it shuffles, its attribute ``rng`` is the generator that it uses. For a
            model with several inputs, `inputs` is a tuple of arrays.
        valid : iterable of (inputs, targets), optional
            Evaluated every `evaluate_every` steps (by default after each epoch) and at the end, but not after Ctrl-C.
        epochs, steps : number
            Give exactly one of them.
        evaluate_every : int, optional

        Returns
        -------
        History

        Raises
        ------
        TrainingDiverged
            A loss or gradient is NaN or infinite. The step is not made, so the weights keep their values.
        RuntimeError
            Another thread is using this model or this criterion, for example in `evaluate`.
        """
        check_batches(self, batches, valid)
        self.total_steps = total_steps(batches, epochs, steps, self.accumulate)
        steps_per_epoch = steps_in_epoch(batches, self.accumulate)
        evaluate_every = positive_int("evaluate_every", steps_per_epoch if evaluate_every is None else evaluate_every)
        self.stop = None
        self._start(batches, valid)
        restore_generator(self, valid)
        self.model.train()
        self.criterion.train()
        self.recorded.start_clock()
        self.bar = automatic_bar(self)
        self.call("on_fit_start")
        with call_on_fit_end(self), end_all_ranks_on_error(self.together), finish_step_on_ctrl_c(self):
            for batches_of_step in remaining_steps(self, batches):
                self._enqueue(batches_of_step)
                self.recorded.update_seconds()
                self.call("on_step_end")
                stop = reason_to_stop(self)
                # No validation after Ctrl-C, so that a resumed run validates at the usual steps only.
                last = self.steps_done == self.total_steps or stop not in (None, INTERRUPTED)
                if valid is not None and (self.steps_done % evaluate_every == 0 or last):
                    validate(self, valid, epoch=self.steps_done / steps_per_epoch)
                    self.call("on_validation_end")
                    stop = reason_to_stop(self)
                if stop is not None:
                    break
            history = self.history  # waits for the steps enqueued on a GPU
            history.update_seconds()
        return history

    def _start(self, *batches: Any) -> None:
        """Choose the kind of step, and let all processes start with the same weights and batches."""
        self._step = choose_step(self)
        if self.together is not None:
            self.together.start(self, *batches)

    def call(self, event: str) -> None:
        """Call one method of every callback."""
        for callback in (*self.callbacks, *self.bar):
            getattr(callback, event)(self)

    @property
    def history(self) -> History:
        """The record of all steps so far. Reading it first waits for the steps enqueued on a GPU (async_steps.py)."""
        if self.async_steps is not None:
            self.async_steps.finish(self)
        return self.recorded

    def state_dict(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what a checkpoint saves: named arrays, and a header of values that JSON can store."""
        return checkpoint.state_dict(self)

    def load_state_dict(self, arrays: dict[str, Any], header: dict[str, Any]) -> None:
        """Load what `state_dict` returned. If it does not fit, raise ValueError and change nothing."""
        checkpoint.load_state_dict(self, arrays, header)
