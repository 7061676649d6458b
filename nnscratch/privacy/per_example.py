"""Per-example gradients of a model: keep them in one backward pass, then read them, their norms, or a weighted sum.

    g_n          the gradient of the loss of example n alone, for all parameters
    ||g_n||      its norm over all parameters
    sum c_n g_n  with one weight for each example

Each layer's file has the rule for its parameters, next to backward. The file nnscratch/per_example.py defines the forms
in which the gradients are kept.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from .. import backend
from ..backend import Array
from ..checks import check_instance
from ..layers import BatchNorm1d
from ..modes import eval_mode, without_input_grad
from ..module import Module
from ..parameter import Parameter
from ..per_example import Form, joined
from ..training.accumulate import scaled
from ..training.model_calls import arrays_of, call_model, hidden_for, num_rows, rows_of


class Examples:
    """The gradient of each example, for all parameters of a model. `keep_examples` fills this object.

    Attributes
    ----------
    forms : dict of str to form
        For each parameter's name, its per-example gradients in a form of `nnscratch.per_example`. A parameter that
        backward did not reach is absent: its gradients are zero.

    Examples
    --------
    Clip the gradient of each example to a norm of 1, then add them:

    >>> import numpy as np, nnscratch as nn
    >>> layer = nn.Linear(2, 1, bias=False, rng=0)
    >>> x = np.array([[0.5, 0.0], [3.0, 4.0]], dtype=np.float32)
    >>> with nn.privacy.keep_examples(layer) as examples:
    ...     y = layer(x)
    ...     dx = layer.backward(np.ones_like(y))
    >>> print(examples.norms())
    [0.5 5. ]
    >>> examples.add_weighted(np.minimum(1, 1 / examples.norms()))
    >>> print(layer.weight.grad)
    [[1.1 0.8]]
    """

    def __init__(self, model: Module):
        self.model = model
        self.forms: dict[str, Form] = {}

    def gradients(self) -> dict[str, Array]:
        """Return, for each parameter's name, the gradients of all examples, shape ``(N, *shape)``."""
        shapes = {name: parameter.shape for name, parameter in self.model.named_parameters()}
        return {name: form.gradients(shapes[name]) for name, form in self.forms.items()}

    def norms(self) -> Array:
        """Return the norm of each example's gradient over all parameters, shape (N,)."""
        squares = sum(form.squared_norms() for form in self.forms.values())
        xp = backend.array_module(squares)
        return xp.sqrt(xp.maximum(squares, 0))  # a sum of products may be slightly below zero

    def add_weighted(self, c: Array) -> None:
        """Add the sum of c_n g_n, for c of shape (N,), to the gradients of the model's parameters."""
        parameters = dict(self.model.named_parameters())
        for name, form in self.forms.items():
            form.add_weighted(parameters[name], c)


@contextlib.contextmanager
def keep_examples(model: Module) -> Iterator[Examples]:
    """Inside the ``with`` block, keep the gradient of each example instead of the sum over all examples.

    The first axis of all inputs must be the examples. Inside the block ``parameter.grad`` is zero. Read the result
    after the block.

    Parameters
    ----------
    model : Module

    Yields
    ------
    Examples
        It is empty until the block ends.

    Raises
    ------
    ValueError
        Before the block: a layer with parameters has no rule for per-example gradients. At its end: backward added to a
        gradient without keeping the gradients of the examples, or the layers had inputs with different numbers of
        examples.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> layer = nn.Linear(2, 1, bias=False, rng=0)
    >>> x = np.array([[1.0, 0.0], [3.0, 4.0]], dtype=np.float32)
    >>> with nn.privacy.keep_examples(layer) as examples:
    ...     y = layer(x)
    ...     dx = layer.backward(np.ones_like(y))
    >>> print(examples.gradients()["weight"].tolist(), examples.norms())
    [[[1.0, 0.0]], [[3.0, 4.0]]] [1. 5.]
    >>> examples.add_weighted(np.ones(2, dtype=np.float32))             # the sum is the plain gradient
    >>> print(layer.weight.grad)
    [[4. 4.]]
    """
    check_has_rules(model)
    parameters = dict(model.named_parameters())
    for parameter in parameters.values():
        parameter.zero_grad()
        parameter.examples = []
    examples, ended = Examples(model), False
    try:
        yield examples
        ended = True
    finally:
        kept = {name: parameter.examples for name, parameter in parameters.items()}
        lost = [name for name, p in parameters.items() if p.added_in_examples and p.requires_grad and not p.examples]
        for parameter in parameters.values():
            parameter.examples = None
            parameter.zero_grad()
        if ended:
            _check_kept(kept, lost)
            examples.forms = {name: joined(forms, parameters[name].shape) for name, forms in kept.items() if forms}


def check_has_rules(model: Module) -> None:
    """Raise ValueError if a layer of `model` has parameters and no rule for per-example gradients."""
    check_instance("keep_examples", "model", model, Module)
    for name, module in model.named_modules():
        title = f"{type(module).__name__} {name!r}" if name else type(module).__name__
        if isinstance(module, BatchNorm1d):
            raise ValueError(
                f"{title} has no gradient for a single example: the mean and the variance are those of the batch, so "
                f"each output depends on all examples. Use GroupNorm or LayerNorm"
            )
        own = any(isinstance(value, Parameter) and value.requires_grad for value in vars(module).values())
        if own and not module.keeps_examples:
            raise ValueError(f"{title} has parameters and no rule for per-example gradients (keeps_examples is False)")


def _check_kept(kept: dict[str, list[Form]], lost: list[str]) -> None:
    """Raise ValueError if per-example gradients are missing, or if the numbers of examples differ."""
    if lost:
        names = ", ".join(lost)
        raise ValueError(f"backward added to the gradient of {names} without keeping one gradient for each example")
    counts = {name: sorted({form.count for form in forms}) for name, forms in kept.items() if forms}
    if len({count for several in counts.values() for count in several}) > 1:
        raise ValueError(f"the first axis of every layer's input must be the examples, got different lengths: {counts}")


def per_example_gradients(model: Module, criterion: Module, inputs: Any, targets: Array) -> dict[str, Array]:
    """Return the gradient of each example's loss.

    One backward pass gives the same gradients as N backward passes with one example each.

    Parameters
    ----------
    model : Module
        In training mode. A recurrent model starts each example from a zero state.
    criterion : Module
        A mean over examples of equal weight (``is_batch_mean``).
    inputs : array with the examples on the first axis, or a tuple of such arrays
    targets : array

    Returns
    -------
    dict of str to array
        For each parameter's name, an array of shape ``(N, *shape)``. A parameter that backward did not reach is absent.

    Raises
    ------
    ValueError
        A layer has no rule for per-example gradients, or `criterion` is not a plain mean.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> model = nn.models.MLP([4, 8, 3], rng=0)
    >>> x, y = np.ones((5, 4), dtype=np.float32), np.array([0, 1, 2, 0, 1])
    >>> gradients = nn.privacy.per_example_gradients(model, nn.CrossEntropyLoss(), x, y)
    >>> gradients["layers.1.weight"].shape
    (5, 8, 4)
    """
    examples, _ = backward_per_example(model, criterion, inputs, targets)
    return examples.gradients()


def backward_per_example(model: Module, criterion: Module, inputs: Any, targets: Array) -> tuple[Examples, float]:
    """Run forward, loss and backward. Return the per-example gradients and the mean loss."""
    check_is_mean(criterion)
    with keep_examples(model) as examples:
        prediction, _ = call_model(model, inputs, hidden_for(model, inputs, None))
        loss = criterion(prediction, targets)  # the mean of the N losses
        with without_input_grad(model):
            model.backward(scaled(num_rows(inputs), criterion.backward()))
    return examples, loss


def check_is_mean(criterion: Module) -> None:
    """Raise ValueError unless `criterion` is a mean over examples of equal weight."""
    check_instance("per_example_gradients", "criterion", criterion, Module)
    if not criterion.is_batch_mean:
        raise ValueError(
            f"the loss must be a plain mean over the examples of a batch: in {type(criterion).__name__} with these "
            f"settings, the weight of an example depends on other examples (is_batch_mean is False)"
        )


def check_examples_are_separate(model: Module, inputs: Any) -> None:
    """Raise ValueError if the prediction for the first example changes when it is alone in the batch.

    A layer without parameters may mix the examples too, for example if it subtracts the mean of the batch. Then no
    example has its own gradient, and clipping does not limit the effect of one example.
    """
    together, alone = inputs, rows_of(inputs, slice(0, 1))
    with eval_mode(model):
        y, y_alone = (arrays_of(call_model(model, x, hidden_for(model, x, None))[0]) for x in (together, alone))
    for a, b in zip(y, y_alone, strict=True):
        if float(abs(a[:1] - b).max()) > 0.01 * float(abs(a).max()):
            raise ValueError(
                f"the prediction of {type(model).__name__} for an example depends on the other examples of the batch, "
                f"so a single example has no gradient of its own. Is there a layer that combines the rows of a batch?"
            )
