"""Measuring a model on data it does not learn from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .. import backend
from ..checks import check_token_ids
from ..losses import CrossEntropyLoss
from ..module import Module, eval_mode, to_device_of


def takes_short_cut(model: Module, criterion: Module) -> bool:
    """Whether the model computes this very loss itself, by ``loss_and_backward``, without holding all its logits."""
    plain = type(criterion) is CrossEntropyLoss and criterion.config() == CrossEntropyLoss().config()
    return plain and hasattr(model, "loss_and_backward")


def batch_on_device_of(model: Module, inputs: Any, targets: Any) -> tuple[Any, Any]:
    """Return a batch on the model's device. The token ids of a language model on a GPU are checked here, on the CPU."""
    moved = to_device_of(model, inputs, targets)
    if backend.device_of(moved[0]) != "cpu":
        for array in (inputs, targets):
            check_token_ids(model, "tokens and targets", array)
    return moved


def run_forward(model: Module, inputs: Any, state: Any) -> tuple[Any, Any]:
    """The model's prediction, and its state if it is one that has ``init_hidden`` and so carries one."""
    if hasattr(model, "init_hidden"):
        return model(inputs, state)
    return model(inputs), None


def evaluate(model: Module, criterion: Module, batches: Iterable[tuple[Any, Any]]) -> float:
    """The mean loss per target over all `batches`; targets count as they do in CrossEntropyLoss's own mean.

    Runs in ``eval()`` mode, in constant memory; a recurrent model's state is carried from batch to batch, from zero,
    and from zero again where a batch has another size.

    Parameters
    ----------
    model, criterion : Module
    batches : iterable of (inputs, targets)

    Returns
    -------
    float

    Raises
    ------
    ValueError
        There are no batches.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> model, batches = nn.Linear(2, 3, rng=0), [(np.ones((4, 2), dtype=np.float32), np.zeros(4, dtype=int))]
    >>> round(nn.evaluate(model, nn.CrossEntropyLoss(), batches), 4)
    1.4521
    """
    total, count, state, rows = 0.0, 0, None, 0
    with eval_mode(model), eval_mode(criterion), backend.deferred_reads():  # a GPU is waited for once, at the end
        for inputs, targets in batches:
            inputs, targets = batch_on_device_of(model, inputs, targets)
            if len(inputs) != rows:
                state, rows = None, len(inputs)
            if takes_short_cut(model, criterion):
                loss, state = model.loss_and_backward(inputs, targets, state)  # in eval() mode: only the loss
            else:
                prediction, state = run_forward(model, inputs, state)
                loss = criterion(prediction, targets)
            n = criterion.count(targets) if isinstance(criterion, CrossEntropyLoss) else targets.size
            total += loss * n
            count += n
    if rows == 0:
        raise ValueError("evaluate needs at least one batch")
    total, count = backend.to_floats([total, count])
    return total / count
