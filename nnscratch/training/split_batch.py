"""Split batch: cut each batch into parts and run the parts in parallel threads, one for each core.

The loss is a mean over the n targets of the batch. If part k has n_k targets and the mean loss L_k, then

    L = sum over k  n_k/n  L_k          g = sum over k  n_k/n  g_k

so the gradient g of the batch is a weighted sum of the parts' gradients g_k, as in accumulate.py. Without the split,
only the matrix products run in parallel (in BLAS), and NumPy runs all other operations on one core. With the split, all
operations run in parallel. On two cores, this saved 1/7 of the time of a Transformer's step, and up to 1/6 for a CNN.
Each part has a copy of the model with its own gradients and saved values. The weights are not copied: ``p.data`` is the
same array in every copy.

Two kinds of model do not become faster. In an LSTM, a step has many short operations, and the threads wait for Python's
global lock. An MLP has many weights and few other operations. Adding the gradients of the parts then takes more time
than the split saves.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .. import backend
from ..backend import Array
from ..module import Module
from .accumulate import Part
from .divergence import clip_if_finite
from .model_calls import forward_and_backward, num_rows, rows_of

if TYPE_CHECKING:
    from .trainer import Trainer


class SplitBatch:
    """A step that computes loss and gradients in parallel parts. It is an alternative to the Trainer's plain step.

    Parameters
    ----------
    model, criterion : Module
    parts : int
        The number of parts of each batch. Each part runs in its own thread.

    Raises
    ------
    ValueError
        The model normalises over the batch, draws random numbers, carries a state from batch to batch, or is on a GPU.
        This error is also raised if the loss is not a plain mean (see `Module.is_batch_mean`).

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> model, criterion = nn.Linear(3, 2, rng=0), nn.CrossEntropyLoss()
    >>> x, y = np.ones((5, 3), dtype=np.float32), np.array([0, 1, 1, 0, 1])
    >>> loss, _ = forward_and_backward(model, criterion, [Part(x, y, 1.0)], None)
    >>> gradient = model.weight.grad.copy()
    >>> model.zero_grad()
    >>> bool(np.isclose(SplitBatch(model, criterion, 2).loss_and_gradients([Part(x, y, 1.0)]), loss))
    True
    >>> bool(np.allclose(model.weight.grad, gradient))
    True
    """

    def __init__(self, model: Module, criterion: Module, parts: int):
        reason = why_not(model, criterion)
        if reason is not None:
            raise ValueError(f"threads={parts} cannot split the batches of this model: {reason}. Use threads=1")
        self.model, self.criterion, self.parts = model, criterion, parts
        self._workers: list[tuple[Module, Module]] = []  # a model and a criterion for each part
        self._shared: list[Array] = []  # the weights, which all workers share

    def step(self, trainer: Trainer, parts: Sequence[Part]) -> Any:
        """Make one step: forward, loss and backward in parallel parts -> clip -> step. Return the state unchanged."""
        optimizer, lr = trainer.optimizer, trainer.optimizer.lr
        # Idle OpenBLAS threads keep their cores busy for a while. So no product may use several threads here.
        with backend.single_threaded_blas():
            trainer.zero_grad()
            loss = self.loss_and_gradients(parts)
            trainer.call("on_backward_end")
            loss, norm = clip_if_finite(loss, optimizer.parameters, trainer.max_norm, trainer.clip_value)
            optimizer.step()
        trainer.recorded.add_step(loss, lr, norm)
        return trainer.hidden

    def loss_and_gradients(self, batches: Sequence[Part]) -> float:
        """Return the loss, and leave the gradients in the model. Clear the model's gradients before the call."""
        parts_of_worker: list[list[Part]] = [[] for _ in range(self.parts)]
        for inputs, targets, fraction in batches:
            n = num_rows(inputs)
            parts = min(self.parts, n)
            for k in range(parts):
                cut = slice(n * k // parts, n * (k + 1) // parts)
                n_k = cut.stop - cut.start
                parts_of_worker[k].append(Part(rows_of(inputs, cut), targets[cut], fraction * n_k / n))
        workers = [w for w in zip(self._synchronized_workers(), parts_of_worker, strict=True) if w[1]]
        losses = backend.run_concurrently(
            [functools.partial(one_worker, model, criterion, parts) for (model, criterion), parts in workers]
        )
        for p, *others in zip(*(model.parameters() for (model, _), _ in workers), strict=True):
            for other in others:
                p.grad += other.grad
        return sum(losses)

    def _synchronized_workers(self) -> list[tuple[Module, Module]]:
        """Return the workers. Make new copies if the model's arrays have been replaced."""
        arrays = [p.data for p in self.model.parameters()]
        if len(arrays) != len(self._shared) or any(a is not b for a, b in zip(arrays, self._shared, strict=True)):
            own = self.model, self.criterion
            self._workers, self._shared = [own, *(copy.deepcopy(own) for _ in range(self.parts - 1))], arrays
            for model, _ in self._workers[1:]:
                for p, data in zip(model.parameters(), arrays, strict=True):
                    p.data = data
        for model, criterion in self._workers[1:]:
            for p, own in zip(model.parameters(), self.model.parameters(), strict=True):
                p.requires_grad = own.requires_grad
            model.train(self.model.training)
            criterion.train(self.criterion.training)
        return self._workers


def one_worker(model: Module, criterion: Module, parts: Sequence[Part]) -> float:
    """Return the sum of the losses of `parts`, each multiplied by its fraction. The gradients are then in `model`."""
    model.zero_grad()
    criterion.zero_grad()
    loss, _ = forward_and_backward(model, criterion, parts, () if hasattr(model, "init_hidden") else None)
    return float(loss)


def why_not(model: Module, criterion: Module) -> str | None:
    """Return the reason why batches of this model cannot be split, or None if they can."""
    modules = dict(model.named_modules())
    for name, _ in model.named_buffers():
        owner = modules[name.rpartition(".")[0]]
        return f"{type(owner).__name__} needs all examples of a batch together"
    for module in modules.values():
        if module.draws_random_numbers:
            return f"{type(module).__name__} draws random numbers, and the order of the threads is not fixed"
    if hasattr(model, "init_hidden") and len(model.init_hidden(1)) > 0:
        return f"{type(model).__name__} carries a state from batch to batch"
    if any(parameter.device != "cpu" for parameter in model.parameters()):
        return "the model is on a GPU, which already runs in parallel"
    if not criterion.is_batch_mean:
        return f"{type(criterion).__name__} is not a plain mean over the examples of a batch (is_batch_mean is False)"
    return None
