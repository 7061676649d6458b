"""Trainer: the loop that learns.

    for each batch:  forward -> loss -> backward -> clip -> optimizer.step -> scheduler.step

and, around it, what a long run needs: validation, a record, callbacks, a stop that loses nothing, and a state that can
be saved and gone on from bit for bit. It knows nothing of the model but its calls; a model that has ``init_hidden`` is
recurrent, and its state goes from batch to batch; one that has ``loss_and_backward`` is asked for loss and gradients
in one call, which saves it holding its logits.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .. import backend
from ..checks import positive_int
from ..module import Module
from ..optim import Optimizer
from ..optim.clip import clip_by_squares, gradients_of
from ..optim.lr_scheduler import LRScheduler
from ..optim.optimizer import at_least
from .ahead import Ahead, Asked, can_go_ahead
from .evaluate import batch_on_device_of, evaluate
from .history import History
from .in_parts import InParts, forward_and_backward

NOT_FINITE, INTERRUPTED = "the gradient is not finite", "interrupted"


class TrainingDiverged(FloatingPointError):
    """The loss or a gradient is no longer finite. The weights are those from before the step that failed.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> model = nn.Linear(2, 1, rng=0)
    >>> trainer = nn.Trainer(model, nn.MSELoss(), nn.optim.SGD(model.parameters(), lr=1e30))
    >>> try:
    ...     history = trainer.fit([(np.ones((4, 2), dtype=np.float32), np.ones((4, 1), dtype=np.float32))], steps=10)
    ... except TrainingDiverged as error:
    ...     print(str(error).partition(":")[0])
    the loss is inf at step 2
    """


class Callback:
    """Called by the Trainer; override what you need. Every method receives the trainer, with all it holds.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> class StopWhenGood(Callback):
    ...     def on_step_end(self, trainer):
    ...         if trainer.history.loss[-1] < 0.1:
    ...             trainer.stop = "good enough"
    >>> model, batches = nn.Linear(1, 1, rng=0), [(np.ones((4, 1), np.float32), np.ones((4, 1), np.float32))]
    >>> optimizer = nn.optim.SGD(model.parameters(), lr=0.1)
    >>> trainer = nn.Trainer(model, nn.MSELoss(), optimizer, callbacks=[StopWhenGood()])
    >>> history = trainer.fit(batches, steps=1000)
    >>> trainer.stop, history.steps < 20
    ('good enough', True)
    """

    def on_fit_start(self, trainer: Trainer) -> None: ...

    def on_step_end(self, trainer: Trainer) -> None: ...

    def on_validation_end(self, trainer: Trainer) -> None: ...

    def on_fit_end(self, trainer: Trainer) -> None: ...


class Trainer:
    """Trains a model on batches.

    Parameters
    ----------
    model : Module
    criterion : Module
        ``criterion(prediction, targets)`` is the loss.
    optimizer : Optimizer
    scheduler : LRScheduler, optional
        Stepped after every optimiser step; ReduceLROnPlateau after every validation, with its loss.
    max_norm : float, optional
        Clip the gradient's norm to this.
    callbacks : sequence of Callback
    threads : int
        Give each of so many threads a part of every batch. On two cores that took about a seventh off the step of a
        Transformer, a sixth or nothing off a convolutional network's, and made an MLP's longer; an LSTM gains nothing.
        See `training.in_parts`, also for what it cannot be used with.

    Attributes
    ----------
    step : int
        Optimiser steps made so far.
    targets : int
        How many targets the latest batch had.
    history : History
        To look at it is to wait for the steps that a GPU was asked for (see `training.ahead`).
    stop : str or None
        Set it, in a callback, to the reason why training should end after this step.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=np.float32)
    >>> y = np.array([0, 1, 1, 0])                                      # exclusive or
    >>> model = nn.Sequential(nn.Linear(2, 8, rng=0), nn.Tanh(), nn.Linear(8, 2, rng=1))
    >>> trainer = nn.Trainer(model, nn.CrossEntropyLoss(), nn.optim.Adam(model.parameters(), lr=0.05))
    >>> history = trainer.fit([(x, y)], steps=100)
    >>> print(model(x).argmax(axis=1), history.steps)
    [0 1 1 0] 100
    """

    def __init__(
        self,
        model: Module,
        criterion: Module,
        optimizer: Optimizer,
        *,
        scheduler: LRScheduler | None = None,
        max_norm: float | None = None,
        callbacks: Sequence[Callback] = (),
        threads: int = 1,
    ):
        for name, value, kind in (
            ("model", model, Module), ("criterion", criterion, Module), ("optimizer", optimizer, Optimizer)
        ):  # fmt: skip
            if not isinstance(value, kind):
                raise TypeError(f"Trainer: {name} must be an instance of {kind.__name__}, got {value!r}")
        if scheduler is not None and not isinstance(scheduler, LRScheduler):
            raise TypeError(f"Trainer: scheduler must be an instance of LRScheduler, got {scheduler!r}")
        backend.keep_freed_memory()
        own = {id(p) for p in model.parameters()}
        if not own & {id(p) for p in optimizer.parameters}:
            raise ValueError("the optimizer holds none of the model's parameters: it would train something else")
        self.model, self.criterion, self.optimizer, self.scheduler = model, criterion, optimizer, scheduler
        self.max_norm = math.inf if max_norm is None else at_least("max_norm", max_norm, 0)
        self.callbacks = list(callbacks)
        self._in_parts = InParts(model, criterion, threads) if positive_int("threads", threads) > 1 else None
        self.step, self.targets, self._history, self.stop = 0, 0, History(), None
        self._ahead: Ahead | None = None
        self._hidden: Any = None  # a recurrent model's state after the latest batch
        self._epoch_rng: dict | None = None  # the batches' generator as it was when this epoch began

    def fit(
        self,
        batches: Any,
        valid: Any = None,
        *,
        epochs: float | None = None,
        steps: int | None = None,
        evaluate_every: int | None = None,
    ) -> History:
        """Train until `steps` steps (or `epochs` epochs) have been made in all, counted from the trainer's first.

        Parameters
        ----------
        batches : iterable of (inputs, targets), with a length
            Gone through again and again. One that draws an order has its generator as ``.rng``.
        valid : iterable of (inputs, targets), optional
            Measured every `evaluate_every` steps (by default after each epoch) and at the end, but not after Ctrl-C.
        epochs, steps : number
            Exactly one of them.
        evaluate_every : int, optional

        Returns
        -------
        History

        Raises
        ------
        TrainingDiverged
            A loss or gradient became NaN or infinite. The step is not made: the weights are those before it.
        """
        if (epochs is None) == (steps is None):
            raise TypeError("fit needs either epochs or steps")
        if not hasattr(batches, "__len__"):
            raise TypeError(
                f"fit goes through the batches again and again and must know how many they are: "
                f"give it a list, Batches or TextBatches, not a {type(batches).__name__}"
            )
        per_epoch = len(batches)
        if per_epoch == 0:
            raise ValueError("fit got no batches")
        if valid is None and self.scheduler is not None and self.scheduler.after_validation:
            raise ValueError(f"{type(self.scheduler).__name__} looks at the validation loss: fit needs valid")
        if steps is None:
            steps = math.ceil(at_least("epochs", epochs, 0) * per_epoch)
        self.total_steps = positive_int("steps", steps)
        evaluate_every = positive_int("evaluate_every", evaluate_every or per_epoch)
        self.stop = None
        self.model.train()
        self.criterion.train()
        before, start = self._history.seconds, time.perf_counter()
        self._call("on_fit_start")
        try:
            with self._finish_step_on_ctrl_c():
                for inputs, targets in self._batches_from_here(batches, per_epoch):
                    self.ask_step(inputs, targets)
                    self._history.seconds = before + time.perf_counter() - start
                    self._call("on_step_end")
                    # Not after Ctrl-C: a run gone on with is to look at its validation loss when it would have.
                    last = self.step == self.total_steps or self.stop not in (None, INTERRUPTED)
                    if valid is not None and (self.step % evaluate_every == 0 or last):
                        self._catch_up()
                        loss = evaluate(self.model, self.criterion, valid)
                        self._history.seconds = before + time.perf_counter() - start
                        self._history.valid.append(
                            {"step": self.step, "epoch": self.step / per_epoch, "loss": loss}
                            | {"seconds": round(self._history.seconds, 3)}
                        )
                        if self.scheduler is not None and self.scheduler.after_validation:
                            self.scheduler.step(loss)
                        self._call("on_validation_end")
                    if self.stop is not None:
                        break
                self._catch_up()
                self._history.seconds = before + time.perf_counter() - start
        finally:
            self._call("on_fit_end")
        return self._history

    @property
    def history(self) -> History:
        """The record of all steps so far."""
        self._catch_up()
        return self._history

    def train_step(self, inputs: Any, targets: Any) -> float:
        """One step on one batch; returns the loss."""
        self.ask_step(inputs, targets)
        return self.history.loss[-1]

    def ask_step(self, inputs: Any, targets: Any) -> None:
        """One step on one batch. A GPU is not waited for: how it went is known when somebody looks at `history`."""
        if self._ahead is None and can_go_ahead(self.model, self.optimizer):
            self._ahead = Ahead(self.optimizer.parameters[0].data, generators(self.model))
        host = None if self._ahead is None else self._host_state()
        inputs, targets = batch_on_device_of(self.model, inputs, targets)
        hidden = self._hidden_for(inputs)
        # A thread of OpenBLAS that has nothing to do holds its core for a while, which the next part would want: no
        # product on two cores, then, not even those of the gradient's norm.
        one_core = contextlib.nullcontext() if self._in_parts is None else backend.single_threaded_blas()
        # Not NumPy's warning but TrainingDiverged says it. And a GPU is waited for once, if at all.
        with one_core, np.errstate(over="ignore", invalid="ignore"), backend.deferred_reads():
            loss, next_hidden = self._forward_and_backward(inputs, targets, hidden)
            gradients, lr = gradients_of(self.optimizer.parameters), self.optimizer.lr
            squares = backend.sums_of_squares(gradients)
            if self._ahead is not None:
                asked = Asked(inputs, targets, hidden, lr, host)
                self._ahead.step(asked, loss, squares, gradients, self.max_norm, self.optimizer)
            else:
                loss, *squares = backend.to_floats([loss, *squares])
                if not math.isfinite(loss):
                    raise TrainingDiverged(self._what_diverged(f"the loss is {loss}", inputs, targets))
                try:
                    norm = clip_by_squares(self.optimizer.parameters, squares, self.max_norm)
                except FloatingPointError:
                    raise TrainingDiverged(self._what_diverged(NOT_FINITE, inputs, targets)) from None
                self.optimizer.step()
                self._record(loss, lr, norm)
        if self.scheduler is not None and not self.scheduler.after_validation:
            self.scheduler.step()
        self._hidden = next_hidden
        self.step += 1
        self.targets = targets.size
        if self._ahead is not None and self._ahead.full:
            self._catch_up()

    # --- going on from a saved state -----------------------------------------------------------------------------

    def state_dict(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """All that is needed to go on as if nothing had happened: named arrays, and a header that JSON can hold."""
        self._catch_up()
        optimizer = self.optimizer.state_dict()
        arrays = {f"model.{name}": a for name, a in self.model.state_dict().items()}
        for name in self.optimizer.moments:
            arrays |= {f"optimizer.{name}.{k}": a for k, a in enumerate(optimizer.pop(name))}
        hidden = self._hidden if isinstance(self._hidden, tuple) else () if self._hidden is None else (self._hidden,)
        arrays |= {f"hidden.{k}": a for k, a in enumerate(hidden)}
        header = {
            "step": self.step,
            "optimizer": optimizer,
            "scheduler": None if self.scheduler is None else self.scheduler.state_dict(),
            "rng": [rng.bit_generator.state for rng in generators(self.model)],
            "epoch_rng": self._epoch_rng,
            "history": self._history.to_dict(),
            "callbacks": [getattr(callback, "state", None) for callback in self.callbacks],
        }
        return arrays, header

    def load_state_dict(self, arrays: dict[str, Any], header: dict[str, Any]) -> None:
        """Take over what `state_dict` gave.

        Raises
        ------
        ValueError
            It is another model's or another optimiser's. Nothing has been changed then.
        """
        of, mine = {name.split(".")[1] for name in arrays if name.startswith("optimizer.")}, set(self.optimizer.moments)
        if of != mine:
            name = type(self.optimizer).__name__
            raise ValueError(f"another optimiser's, with {sorted(of)}: {name} has {sorted(mine)}")
        if self.scheduler is not None and header["scheduler"] is None:
            raise ValueError(f"there was no scheduler, and the trainer has a {type(self.scheduler).__name__}")
        own_arrays, own_header = self.state_dict()
        own_arrays = {name: a.copy() for name, a in own_arrays.items()}
        try:
            self._take_over(arrays, header)
        except (ValueError, TypeError, KeyError):
            self._take_over(own_arrays, own_header)  # the model may have been filled, and the optimiser refused
            raise

    def _take_over(self, arrays: dict[str, Any], header: dict[str, Any]) -> None:
        def part(prefix: str) -> dict[str, Any]:
            return {name[len(prefix) :]: a for name, a in arrays.items() if name.startswith(prefix)}

        own = generators(self.model)
        if len(header["rng"]) != len(own):
            raise ValueError("the checkpoint is of a model that draws from another number of random generators")
        moments = {name: _in_order(part(f"optimizer.{name}.")) for name in self.optimizer.moments}
        self.model.load_state_dict(part("model."))
        self.optimizer.load_state_dict(header["optimizer"] | moments)
        if self.scheduler is not None:
            self.scheduler.load_state_dict(header["scheduler"])
            self.optimizer.lr = float(header["optimizer"]["lr"])
        for rng, state in zip(own, header["rng"], strict=True):
            rng.bit_generator.state = state
        device = self.optimizer.parameters[0].device
        hidden = tuple(backend.to_device(a, device) for a in _in_order(part("hidden.")))
        self._hidden = hidden if len(hidden) > 1 else hidden[0] if hidden else None
        self._epoch_rng = header["epoch_rng"]
        self.step, self._history = header["step"], History(**header["history"])
        for callback, state in zip(self.callbacks, header["callbacks"], strict=False):
            if state is not None:
                callback.state = state

    # --- steps asked of a GPU ------------------------------------------------------------------------------------

    def _catch_up(self) -> None:
        """Wait for the steps asked for, and write them down; if one was not made, go back to before it and say so."""
        if self._ahead is None:
            return
        for asked, loss, norm in self._ahead.read():
            if math.isfinite(loss) and math.isfinite(norm):
                self._record(loss, asked.lr, norm)
                continue
            self._go_back_to(asked.host)
            with np.errstate(over="ignore", invalid="ignore"), backend.deferred_reads():
                self._forward_and_backward(asked.inputs, asked.targets, asked.hidden)
            what = NOT_FINITE if math.isfinite(loss) else f"the loss is {loss}"
            raise TrainingDiverged(self._what_diverged(what, asked.inputs, asked.targets))

    def _host_state(self) -> dict[str, Any]:
        """What a step changes that is not on the GPU."""
        return {
            "step": self.step,
            "optimizer": (self.optimizer.lr, self.optimizer.steps),
            "scheduler": None if self.scheduler is None else self.scheduler.state_dict(),
            "rng": [(rng, rng.bit_generator.state) for rng in self._ahead.generators],
            "hidden": (self._hidden, self._epoch_rng),
        }

    def _go_back_to(self, host: dict[str, Any]) -> None:
        self.step = host["step"]
        if self.scheduler is not None:
            self.scheduler.load_state_dict(host["scheduler"])
        self.optimizer.lr, self.optimizer.steps = host["optimizer"]
        for rng, state in host["rng"]:
            rng.bit_generator.state = state
        self._hidden, self._epoch_rng = host["hidden"]

    # --- inside --------------------------------------------------------------------------------------------------

    def _batches_from_here(self, batches: Any, per_epoch: int) -> Iterator[tuple[Any, Any]]:
        """Batch after batch, epoch after epoch, from the place the trainer's step says to the last step."""
        rng = getattr(batches, "rng", None)
        while self.step < self.total_steps:
            done = self.step % per_epoch
            if done == 0:
                self._hidden = None  # a text starts again: nothing has been read before it
                self._epoch_rng = None if rng is None else rng.bit_generator.state
            elif rng is not None and self._epoch_rng is not None:
                rng.bit_generator.state = self._epoch_rng  # the same order again, to go on in it
            for batch in itertools.islice(batches, done, None):
                if not isinstance(batch, (tuple, list)) or len(batch) != 2:
                    raise TypeError(f"fit needs batches that are pairs (inputs, targets), got a {type(batch).__name__}")
                yield batch
                if self.step == self.total_steps:
                    return

    def _forward_and_backward(self, inputs: Any, targets: Any, hidden: Any) -> tuple[Any, Any]:
        """The loss, and a recurrent model's state after the batch; the gradients are the parameters'."""
        self.model.zero_grad()
        self.criterion.zero_grad()
        if self._in_parts is not None:
            return self._in_parts.loss_and_gradients(inputs, targets), None
        return forward_and_backward(self.model, self.criterion, inputs, targets, hidden)

    def _record(self, loss: float, lr: float, norm: float) -> None:
        for record, value in ((self._history.loss, loss), (self._history.lr, lr), (self._history.norm, norm)):
            record.append(value)

    def _hidden_for(self, inputs: Any) -> Any:
        """The carried state, or a new one where there is none or the batch has another size."""
        if not hasattr(self.model, "init_hidden"):
            return None
        fresh = self.model.init_hidden(len(inputs))
        if self._hidden is None:
            return fresh
        same = all(a.shape == b.shape for a, b in zip(self._hidden, fresh, strict=True))
        return self._hidden if same else fresh

    def _call(self, event: str) -> None:
        for callback in self.callbacks:
            getattr(callback, event)(self)

    def _what_diverged(self, what: str, inputs: Any, targets: Any) -> str:
        """At which step, and in which parameter it began, or that the data brought it."""
        for name, array in (("inputs", inputs), ("targets", targets)):
            if array.dtype.kind == "f" and not backend.array_module(array).isfinite(array).all():
                self.model.zero_grad()
                self.criterion.zero_grad()
                return (
                    f"{what} at step {self.step + 1}: the batch's {name} hold NaN or infinity, so it is the data that "
                    f"must be looked at. The step was not made."
                )
        named = list(self.model.named_parameters())
        broken = [name for name, p in named if not backend.array_module(p.data).isfinite(p.data).all()]
        if broken:
            where = f"the weights of {', '.join(broken)} were not finite before this step"
        else:
            # Backward runs from the last layer to the first: the last broken gradient is where it began.
            broken = [name for name, p in named if not backend.array_module(p.grad).isfinite(p.grad).all()]
            if broken:
                where = f"going backward, it began in the gradient of {broken[-1]}; all weights are finite"
            else:
                where = "all weights are finite; the numbers between them overflowed in forward, or the data did"
        self.model.zero_grad()
        self.criterion.zero_grad()
        return (
            f"{what} at step {self.step + 1}: {where}. The step was not made. "
            f"Try a smaller learning rate than {self.optimizer.lr:.3g}, or clip the gradient (max_norm)."
        )

    @contextlib.contextmanager
    def _finish_step_on_ctrl_c(self) -> Iterator[None]:
        """The first Ctrl-C ends training after the step under way; the second is the usual KeyboardInterrupt."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        previous = signal.getsignal(signal.SIGINT)

        def ask_to_stop(signum: int, frame: Any) -> None:
            self.stop = INTERRUPTED
            signal.signal(signal.SIGINT, previous)

        signal.signal(signal.SIGINT, ask_to_stop)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, previous)


def generators(model: Module) -> list[np.random.Generator]:
    """The distinct random generators that a model's modules draw from."""
    found = {id(m.rng): m.rng for m in model.modules() if isinstance(getattr(m, "rng", None), np.random.Generator)}
    return list(found.values())


def _in_order(numbered: dict[str, Any]) -> list[Any]:
    return [numbered[str(k)] for k in range(len(numbered))]
