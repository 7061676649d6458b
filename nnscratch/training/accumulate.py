"""Gradient accumulation: one optimiser step for k batches, which equals a step on one batch k times as large.

The loss is a mean over the n targets of all k batches. If batch j has n_j targets and the mean loss L_j, then

    L = sum over j  n_j/n  L_j          g = sum over j  n_j/n  g_j

Every `backward` adds to the gradients. So it is enough to multiply each batch's gradient of the loss by n_j/n before
the model's backward. The activations of only one batch are in memory at a time. So a step can use a large batch with
little memory.

n_j is the number of targets that the loss counts. `CrossEntropyLoss` does not count ignored targets. With class
weights, n_j is the sum of the weights of the targets. The mean of the k mean losses L_j would be wrong, because the n_j
may differ. For example, the last batch may be smaller.

Three kinds of model are an exception. For them, k batches do not give the same result as one large batch. BatchNorm
normalises each of the k batches separately. Dropout draws a new mask for each of the k batches. A recurrent model
carries its state from each of the k batches to the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from .. import backend
from ..backend import Array
from ..losses import CrossEntropyLoss
from ..module import Module


class Part(NamedTuple):
    """One of the k batches of a step, and its fraction n_j/n of the targets."""

    inputs: Any
    targets: Array
    fraction: float


def number_of_targets(criterion: Module, targets: Array) -> float | Array:
    """Return the number by which `criterion` divides the sum of losses. On a GPU, it may be an array of shape ()."""
    backend.array_module(targets)
    return criterion.count(targets) if isinstance(criterion, CrossEntropyLoss) else targets.size


def no_target_counts(criterion: Module, targets: Array) -> bool:
    """Return True if `criterion` ignores all targets of a batch.

    On a GPU, the result is always False, because reading the targets would wait for the GPU.
    """
    backend.array_module(targets)
    if not isinstance(criterion, CrossEntropyLoss) or criterion.is_batch_mean or not backend.cheap_to_read(targets):
        return False
    return targets.size > 0 and criterion.count(targets) == 0


def parts_of_step(criterion: Module, batches: Sequence[tuple[Any, Array]]) -> list[Part]:
    """Return the batches of one step with their fractions. A batch whose targets are all ignored is left out.

    If all targets of the step are ignored, the list is empty. The step then has the loss 0 and the gradient 0.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> batches = [(np.zeros((n, 2)), np.zeros(n, dtype=int)) for n in (3, 3, 2)]
    >>> [part.fraction for part in parts_of_step(nn.CrossEntropyLoss(), batches)]
    [0.375, 0.375, 0.25]
    """
    if len(batches) == 1:
        return [] if no_target_counts(criterion, batches[0][1]) else [Part(*batches[0], 1.0)]
    counts = backend.to_floats([number_of_targets(criterion, targets) for _, targets in batches])
    n = sum(counts)
    if n == 0:  # keep the empty batches: the loss raises an error for them
        return [Part(*batch, 1.0) for batch in batches if batch[1].size == 0]
    return [Part(*batch, n_j / n) for batch, n_j in zip(batches, counts, strict=True) if n_j]


def scaled(fraction: float, gradient: Any) -> Any:
    """Return ``fraction * gradient``. The gradient is a tuple if the loss has several predictions."""
    if fraction == 1:
        return gradient
    return tuple(fraction * g for g in gradient) if isinstance(gradient, tuple) else fraction * gradient
