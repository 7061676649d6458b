"""Evaluation: the mean loss of a model on data that it is not trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .. import backend
from ..checks import check_instance
from ..modes import eval_mode
from ..module import Module
from .accumulate import number_of_targets
from .model_calls import batch_on_device_of, call_model, computes_own_loss, hidden_for, num_rows, rows_of


def evaluate(model: Module, criterion: Module, batches: Iterable[tuple[Any, Any]]) -> float:
    """Return the mean loss per target over all `batches`.

    The model runs in ``eval()`` mode. The memory that it needs does not depend on the number of batches. With
    CrossEntropyLoss, ignored targets do not count and class weights apply, as in the loss of one batch. A recurrent
    model starts from a zero state and carries its state from batch to batch. When the batch size changes, it starts
    from a zero state again.

    Parameters
    ----------
    model, criterion : Module
    batches : iterable of (inputs, targets)
        For a model with several inputs, `inputs` is a tuple of arrays.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        `batches` is empty, or all targets are ignored.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> model, batches = nn.Linear(2, 3, rng=0), [(np.ones((4, 2), dtype=np.float32), np.zeros(4, dtype=int))]
    >>> round(nn.evaluate(model, nn.CrossEntropyLoss(), batches), 4)
    1.4521
    """
    total, count = loss_sum(model, criterion, batches)
    return total / count


def loss_sum(
    model: Module,
    criterion: Module,
    batches: Iterable[tuple[Any, Any]],
    own_rows: Callable[[int], slice] = slice,
) -> tuple[float, float]:
    """Return the sum of the losses of all targets, and the number of targets that are not ignored.

    Parameters
    ----------
    model, criterion, batches
        As for `evaluate`.
    own_rows : function of the number of rows of a batch
        Returns the rows to evaluate, as a slice. By default, it returns all rows.
    """
    check_instance("evaluate", "model", model, Module)
    check_instance("evaluate", "criterion", criterion, Module)
    total, count, state, rows = 0.0, 0, None, 0
    with eval_mode(model), eval_mode(criterion), backend.deferred_reads():  # one wait for the GPU, at the end
        for inputs, targets in batches:
            inputs, targets = batch_on_device_of(model, inputs, targets)
            n = number_of_targets(criterion, targets)
            if isinstance(n, (int, float)) and n == 0:
                continue  # all targets are ignored: skip the batch
            if num_rows(inputs) != rows:
                state, rows = None, num_rows(inputs)
            own = own_rows(rows)
            if own != slice(rows):
                inputs, targets = rows_of(inputs, own), targets[own]
                if not len(targets):
                    continue
                (n,) = backend.to_floats([number_of_targets(criterion, targets)])
                if n == 0:  # all targets are ignored, but the state must advance
                    _, state = call_model(model, inputs, hidden_for(model, inputs, state))
                    continue
            if computes_own_loss(model, criterion):
                loss, state = model.loss_and_backward(inputs, targets, state)  # in eval() mode: computes only the loss
            else:
                prediction, state = call_model(model, inputs, state)
                loss = criterion(prediction, targets)
            total += loss * n
            count += n
    if rows == 0:
        raise ValueError("evaluate needs at least one target that is not ignored, got none")
    total, count = backend.to_floats([total, count])
    return total, count
