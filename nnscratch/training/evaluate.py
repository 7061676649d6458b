"""Measuring a model on data it does not learn from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .. import backend
from ..losses import CrossEntropyLoss
from ..module import Module, evaluating, to_device_of


def takes_short_cut(model: Module, criterion: Module) -> bool:
    """Whether the model computes this very loss itself, by ``loss_and_backward``, without holding all its logits."""
    plain = type(criterion) is CrossEntropyLoss and criterion.config() == CrossEntropyLoss().config()
    return plain and hasattr(model, "loss_and_backward")


def run_forward(model: Module, inputs: Any, state: Any) -> tuple[Any, Any]:
    """The model's prediction, and its state if it is one that has ``init_hidden`` and so carries one."""
    if hasattr(model, "init_hidden"):
        return model(inputs, state)
    return model(inputs), None


def evaluate(model: Module, criterion: Module, batches: Iterable[tuple[Any, Any]]) -> float:
    """The mean loss per target over all `batches`.

    Runs in ``eval()`` mode, in constant memory; a recurrent model's state is carried from batch to batch, from zero.

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
    total, count, state = 0.0, 0, None
    with evaluating(model), evaluating(criterion), backend.reading_later():  # a GPU is waited for once, at the end
        for inputs, targets in batches:
            inputs, targets = to_device_of(model, inputs, targets)
            if takes_short_cut(model, criterion):
                loss, state = model.loss_and_backward(inputs, targets, state)  # in eval() mode: only the loss
            else:
                prediction, state = run_forward(model, inputs, state)
                loss = criterion(prediction, targets)
            total += loss * targets.size
            count += targets.size
    if count == 0:
        raise ValueError("evaluate needs at least one batch")
    return backend.to_floats([total])[0] / count
