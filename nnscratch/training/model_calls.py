"""The calls of a model during training and evaluation.

Any Module can be trained. A model with several inputs gets a tuple of arrays from each batch and is called as
``model(*inputs)``. Three optional methods or attributes of a model change how it is called:

    init_hidden(batch_size)     The model is recurrent. It is called as ``model(*inputs, hidden)``, returns
                                ``(prediction, hidden)``, and its state is carried from batch to batch.
    loss_and_backward(...)      The model computes its cross-entropy and all gradients in one call. That takes less
                                memory, because the model never stores all logits at once. It is called as
                                ``loss_and_backward(inputs, targets, hidden, scale)``; `scale` multiplies the gradients.
    vocab_size                  The model reads token ids. If the model has one input, the ids are checked on the
                                CPU, before the model reads them on a GPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import backend
from ..checks import check_token_ids
from ..losses import CrossEntropyLoss
from ..modes import without_input_grad
from ..module import Module
from ..parameter import to_device_of
from .accumulate import Part, parts_of_step, scaled


def arrays_of(inputs: Any) -> tuple[Any, ...]:
    """Return the arrays of a batch's inputs as a tuple, also if there is only one."""
    return inputs if isinstance(inputs, tuple) else (inputs,)


def num_rows(inputs: Any) -> int:
    """Return the batch size."""
    return len(arrays_of(inputs)[0])


def rows_of(inputs: Any, cut: slice) -> Any:
    """Return some rows of a batch's inputs."""
    return tuple(array[cut] for array in inputs) if isinstance(inputs, tuple) else inputs[cut]


def batch_on_device_of(model: Module, inputs: Any, targets: Any) -> tuple[Any, Any]:
    """Return the batch on the model's device. Inputs that the model reads on the CPU stay there."""
    arrays, stay = arrays_of(inputs), model.inputs_on_cpu
    *moved, moved_targets = to_device_of(model, *(a for k, a in enumerate(arrays) if k not in stay), targets)
    if isinstance(inputs, tuple):
        rest = iter(moved)
        return tuple(a if k in stay else next(rest) for k, a in enumerate(arrays)), moved_targets
    if backend.device_of(moved_targets) != "cpu":
        for array in (inputs, targets):
            check_token_ids(model, "tokens and targets", array)
    return moved[0], moved_targets


def parts_on_device_of(model: Module, criterion: Module, batches: Sequence[tuple[Any, Any]]) -> list[Part]:
    """Return the batches of one step on the model's device, with their fractions of the targets."""
    parts = parts_of_step(criterion, batches)
    return [Part(*batch_on_device_of(model, inputs, targets), fraction) for inputs, targets, fraction in parts]


def hidden_for(model: Module, inputs: Any, hidden: Any) -> Any:
    """Return the state to start this batch from: `hidden` if it fits the batch size, else a zero state."""
    if not hasattr(model, "init_hidden"):
        return None
    zero = model.init_hidden(num_rows(inputs))
    fits = hidden is not None and all(a.shape == b.shape for a, b in zip(hidden, zero, strict=True))
    return hidden if fits else zero


def call_model(model: Module, inputs: Any, hidden: Any) -> tuple[Any, Any]:
    """Return the model's prediction and its next state. The state is None unless the model is recurrent."""
    if hasattr(model, "init_hidden"):
        return model(*arrays_of(inputs), hidden)
    return model(*arrays_of(inputs)), None


def computes_own_loss(model: Module, criterion: Module) -> bool:
    """True if the model has ``loss_and_backward``, and the criterion is the loss that this method computes.

    This loss is a CrossEntropyLoss with its default arguments.
    """
    return (
        hasattr(model, "loss_and_backward")
        and type(criterion) is CrossEntropyLoss
        and criterion.config() == CrossEntropyLoss().config()
    )


def forward_and_backward(model: Module, criterion: Module, parts: Sequence[Part], hidden: Any) -> tuple[Any, Any]:
    """Add the gradients of a step's batches to the model's gradients. Return the loss and the model's next state.

    This is the loop of `Trainer`'s plain step: forward, loss, backward.
    """
    loss = 0.0
    for inputs, targets, fraction in parts:
        hidden = hidden_for(model, inputs, hidden)
        if computes_own_loss(model, criterion):
            part_loss, hidden = model.loss_and_backward(inputs, targets, hidden, fraction)
        else:
            prediction, hidden = call_model(model, inputs, hidden)
            part_loss = criterion(prediction, targets)
            with without_input_grad(model):  # the input is data: training does not use its gradient
                model.backward(scaled(fraction, criterion.backward()))
        loss += fraction * part_loss
    return loss, hidden
