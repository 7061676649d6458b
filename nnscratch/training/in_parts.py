"""A batch in parts, one for each core.

A loss that is the mean over n targets is made of its parts' means, n_k targets in part k, and so is its gradient:

    L = sum over k  n_k/n  L_k          g = sum over k  n_k/n  g_k

So each core may take a part of the batch forward and backward by itself. BLAS spreads products over the cores, NumPy
spreads nothing; in parts, all of it is spread. Each part goes through a copy of the model that has gradients and stacks
of its own, and the same weights: every copy's ``p.data`` is the one array.

It does not pay where a step is many short operations, between which the threads wait for Python's lock (an LSTM), or
where there are more weights than work, so that adding up gradients takes longer than it saves (an MLP).
"""

from __future__ import annotations

import copy
import functools
from typing import Any

from .. import backend
from ..backend import Array
from ..module import Module, without_input_grad
from .evaluate import run_forward, takes_short_cut


def forward_and_backward(model: Module, criterion: Module, inputs: Any, targets: Any, hidden: Any) -> tuple[Any, Any]:
    """The loss, and a recurrent model's state after the batch; gradients are added to the model's."""
    if takes_short_cut(model, criterion):
        return model.loss_and_backward(inputs, targets, hidden)
    prediction, hidden = run_forward(model, inputs, hidden)
    loss = criterion(prediction, targets)
    with without_input_grad(model):  # the input is data: training does not use its gradient
        model.backward(criterion.backward())
    return loss, hidden


class InParts:
    """Loss and gradients of whole batches, computed in parts at the same time.

    Parameters
    ----------
    model, criterion : Module
    parts : int
        How many, each in a thread of its own.

    Raises
    ------
    ValueError
        The parts' results would not add up to the whole batch's, or not to the same each time: the model normalises
        over the batch, draws random numbers, carries a state from batch to batch or is on a GPU, or the loss is no
        plain mean.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> model, criterion = nn.Linear(3, 2, rng=0), nn.CrossEntropyLoss()
    >>> x, y = np.ones((5, 3), dtype=np.float32), np.array([0, 1, 1, 0, 1])
    >>> loss, _ = forward_and_backward(model, criterion, x, y, None)
    >>> gradient = model.weight.grad.copy()
    >>> model.zero_grad()
    >>> bool(np.isclose(InParts(model, criterion, 2).loss_and_gradients(x, y), loss))
    True
    >>> bool(np.allclose(model.weight.grad, gradient))
    True
    """

    def __init__(self, model: Module, criterion: Module, parts: int):
        why = why_not(model, criterion)
        if why is not None:
            raise ValueError(f"a batch cannot be cut into parts for {parts} threads: {why}")
        self.model, self.criterion, self.parts = model, criterion, parts
        self._workers: list[tuple[Module, Module]] = []  # a model and a criterion for each part
        self._weights: list[Array] = []  # what the copies share

    def loss_and_gradients(self, inputs: Array, targets: Array) -> float:
        """The loss; the gradients are added to the model's, which must be clear."""
        n, parts = len(inputs), min(self.parts, len(inputs))
        cuts = [slice(n * k // parts, n * (k + 1) // parts) for k in range(parts)]
        workers = self._up_to_date()[:parts]
        losses = backend.run_concurrently(
            [functools.partial(one_part, *w, inputs[cut], targets[cut]) for w, cut in zip(workers, cuts, strict=True)]
        )
        shares = [(cut.stop - cut.start) / n for cut in cuts]
        for p, *others in zip(*(model.parameters() for model, _ in workers), strict=True):
            p.grad *= shares[0]
            for share, other in zip(shares[1:], others, strict=True):
                p.grad += share * other.grad
        return sum(share * loss for share, loss in zip(shares, losses, strict=True))

    def _up_to_date(self) -> list[tuple[Module, Module]]:
        """The models and criteria; copied anew where the model's arrays are no longer those that the copies share."""
        weights = [p.data for p in self.model.parameters()]
        if len(weights) != len(self._weights) or any(a is not b for a, b in zip(weights, self._weights, strict=True)):
            own = self.model, self.criterion
            self._workers, self._weights = [own, *(copy.deepcopy(own) for _ in range(self.parts - 1))], weights
            for model, _ in self._workers[1:]:
                for p, data in zip(model.parameters(), weights, strict=True):
                    p.data = data
        for model, criterion in self._workers[1:]:
            model.train(self.model.training)
            criterion.train(self.criterion.training)
        return self._workers


def one_part(model: Module, criterion: Module, inputs: Array, targets: Array) -> float:
    """The part's mean loss; its gradients are the model's."""
    model.zero_grad()
    criterion.zero_grad()
    loss, _ = forward_and_backward(model, criterion, inputs, targets, () if hasattr(model, "init_hidden") else None)
    return float(loss)


def why_not(model: Module, criterion: Module) -> str | None:
    """Why this model's batches cannot be cut into parts, or None if they can."""
    modules = dict(model.named_modules())
    for name, _ in model.named_buffers():
        owner = modules[name.rpartition(".")[0]]
        return f"{type(owner).__name__} looks at all examples of a batch together"
    for module in modules.values():
        if module.draws_random_numbers:
            return f"{type(module).__name__} draws random numbers, and which part draws first would be chance"
    if hasattr(model, "init_hidden") and len(model.init_hidden(1)) > 0:
        return f"{type(model).__name__} carries a state from batch to batch"
    if any(parameter.device != "cpu" for parameter in model.parameters()):
        return "the model is on a GPU, which needs no help"
    if getattr(criterion, "ignore_index", None) is not None or getattr(criterion, "weight", None) is not None:
        return f"{type(criterion).__name__} weighs its targets, so that the loss is not the mean of the parts'"
    return None
