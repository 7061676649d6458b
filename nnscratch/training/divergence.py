"""Divergence: a loss or gradient that is NaN or infinite stops training before the weights change."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from .. import backend
from ..backend import Array
from ..optim.clip import clip_by_squares, clip_grad_value_, gradients_of
from ..parameter import Parameter
from .accumulate import Part
from .model_calls import arrays_of

if TYPE_CHECKING:
    from .trainer import Trainer


class TrainingDiverged(FloatingPointError):
    """The loss or a gradient is NaN or infinite. The weights have the values from before the step that failed.

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


class NotFinite(Exception):
    """Raised inside a step, before the optimiser changes a weight. `explain_divergence` catches it."""

    def __init__(self, loss: float):
        super().__init__("the gradient is not finite" if math.isfinite(loss) else f"the loss is {loss}")


def clip_if_finite(
    loss: float | Array, parameters: Sequence[Parameter], max_norm: float, clip_value: float
) -> tuple[float, float]:
    """Clip the gradients to `max_norm`, or by value. Return the loss and the gradient's norm before clipping.

    The loss and the squares of the gradients are read together, because each read waits for the GPU.

    Raises
    ------
    NotFinite
        The loss or the norm is NaN or infinite. The gradients are unchanged.
    """
    loss, *squares = backend.to_floats([loss, *backend.sums_of_squares(gradients_of(parameters))])
    if not math.isfinite(loss):
        raise NotFinite(loss)
    try:
        norm = clip_by_squares(parameters, squares, max_norm)
    except FloatingPointError:
        raise NotFinite(loss) from None
    if clip_value < math.inf:
        clip_grad_value_(parameters, clip_value)
    return loss, norm


@contextlib.contextmanager
def explain_divergence(trainer: Trainer, parts: Sequence[Part]) -> Iterator[None]:
    """Raise `TrainingDiverged` instead of the `NotFinite` that a step on `parts` raises in the ``with`` block.

    The error names the step, and the batch, weight or gradient in which the problem began. The gradients are cleared.
    In the block, NumPy prints no warning of an overflow, and losses on a GPU are not read one by one.
    """
    with np.errstate(over="ignore", invalid="ignore"), backend.deferred_reads():
        try:
            yield
        except NotFinite as what:
            message = f"{what} at step {trainer.steps_done + 1}: {_where(trainer, parts)}"
            trainer.zero_grad()
            raise TrainingDiverged(message) from None


def _where(trainer: Trainer, parts: Sequence[Part]) -> str:
    named_arrays = [("inputs", a) for part in parts for a in arrays_of(part.inputs)]
    for name, array in named_arrays + [("targets", part.targets) for part in parts]:
        if array.dtype.kind == "f" and not _is_finite(array):
            return f"the batch's {name} hold NaN or infinity: check the data. The step was not made."
    named = list(trainer.model.named_parameters())
    weights = [name for name, p in named if not _is_finite(p.data)]
    gradients = [name for name, p in named if not _is_finite(p.grad)]
    if weights:
        where = f"the weights of {', '.join(weights)} were not finite before this step"
    elif gradients:
        # Backward runs from the last layer to the first, so the last name is the gradient that was computed first.
        where = f"in backward, the gradient of {gradients[-1]} is the first that is not finite; all weights are finite"
    else:
        where = "all weights and gradients are finite; a value inside forward was too large for the dtype"
    return (
        f"{where}. The step was not made. "
        f"Try a smaller learning rate than {trainer.optimizer.lr:.3g}, or clip the gradient (max_norm)."
    )


def _is_finite(array: Array) -> bool:
    return bool(backend.array_module(array).isfinite(array).all())
