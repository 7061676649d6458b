"""Objects whose backward takes more than dy: ``backward(delta, h_t, h_prev_l, h_prev_t)``, ``backward(p, y)``."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ..nested import attribute_of, has_no_axes
from .calls import OUTPUTS, bind_arguments, required_names, returned_names, usual_outputs
from .names import argument_names
from .refusals import pair_refusal

PREDICTIONS = ("dvalues", "y_pred", "y_hat", "yhat", "pred", "preds", "prediction", "predictions", "probs", "output")


def needs_more(backward: Callable, outputs: int) -> bool:
    """Return True if backward requires more arguments than one gradient for each output."""
    names = required_names(backward)
    return names is not None and len(names) > outputs


def methods_with_inputs(instance: Any, forward: Callable, backward: Callable) -> tuple[Callable, Callable]:
    """Return a forward that keeps its arguments, and a backward that takes only gradients.

    The new backward adds the other arguments, and calls the old backward. An argument with the name of an input
    receives this input. If forward ends with ``return h_t``, an argument with the name ``h_t`` receives the output. The
    other arguments receive the gradients, and then the remaining inputs, in order.

    Backward may use another name for an output than forward. Then the names are not used: the arguments receive the
    gradients, the outputs and the inputs, in this order. But if the last arguments have usual names of outputs, such as
    ``out``, the inputs come before the outputs.

    The backward of a loss may take predictions and targets, such as ``backward(dvalues, y_true)`` in nnfs.io. The
    predictions are then ``self.output``, or the first input if there is no ``self.output``.

    Examples
    --------
    >>> class RNNCell:
    ...     def forward(self, x, h_prev_t):
    ...         h_t = x + 2 * h_prev_t
    ...         return h_t
    ...     def backward(self, delta, h_t, h_prev_l, h_prev_t):
    ...         return delta, 2 * delta, (h_t, h_prev_l, h_prev_t)
    >>> cell = RNNCell()
    >>> forward, backward = methods_with_inputs(cell, cell.forward, cell.backward)
    >>> forward(1.0, 10.0), backward(5.0)
    (21.0, (5.0, 10.0, (21.0, 1.0, 10.0)))
    """
    kept: dict[str, Any] = {}
    names, returned = required_names(backward) or [], returned_names(forward)

    @functools.wraps(forward)
    def keeping(*inputs: Any) -> Any:
        y = forward(*inputs)
        kept["inputs"] = dict(zip(argument_names(forward, len(inputs)), inputs, strict=True))
        kept["ys"] = y if isinstance(y, tuple) else (y,)
        kept["outputs"] = dict(zip(returned, kept["ys"], strict=False))
        kept["loss"] = has_no_axes(y)
        return y

    def with_inputs(*dys: Any) -> Any:
        inputs, given = kept["inputs"], list(dys)
        if kept["loss"]:
            free = [n for n in names if n not in inputs]
            if free and free[0] in PREDICTIONS:
                given = [attribute_of(instance, "output", next(iter(inputs.values())))]
            elif not free or len(names) <= len(inputs):
                given = []
        ys = kept["ys"]
        outputs = kept["outputs"] if kept["loss"] else {**usual_outputs(names, inputs, ys), **kept["outputs"]}
        arguments = bind_arguments(names, inputs, given, outputs)
        ends_with_outputs = all(n.lower() in OUTPUTS and n not in inputs for n in names[-len(ys) :])
        in_order = [*given, *inputs.values(), *ys] if ends_with_outputs else [*given, *ys, *inputs.values()]
        if arguments is None and len(names) == len(in_order):  # backward uses another name for an output than forward
            arguments = in_order
        if arguments is None:
            reason = f"forward takes {len(inputs)} input(s)"
            raise pair_refusal(forward, backward, list(inputs), reason)
        return backward(*arguments)

    return keeping, with_inputs


def with_weight_gradients(
    instance: Any, forward: Callable, backward: Callable, method: Callable
) -> tuple[Callable, Callable]:
    """Return a forward that keeps its arguments, and a backward that also returns the gradients of the weights.

    `method` computes these gradients, such as ``grads_wrt_params(inputs, grads_wrt_outputs)``.

    Examples
    --------
    >>> class Scale:
    ...     def fprop(self, inputs):
    ...         return 3 * inputs
    ...     def bprop(self, inputs, outputs, grads_wrt_outputs):
    ...         return 3 * grads_wrt_outputs
    ...     def grads_wrt_params(self, inputs, grads_wrt_outputs):
    ...         return [inputs * grads_wrt_outputs]
    >>> layer = Scale()
    >>> forward, backward = with_weight_gradients(layer, layer.fprop, layer.bprop, layer.grads_wrt_params)
    >>> forward(np.array([2.0])), backward(np.array([10.0]))
    (array([6.]), (array([30.]), array([20.])))
    """
    forward, of_inputs = methods_with_inputs(instance, forward, backward)
    forward, of_weights = methods_with_inputs(instance, forward, method)

    def both(*dys: Any) -> Any:
        dx, dw = of_inputs(*dys), of_weights(*dys)
        return (dx, *dw) if isinstance(dw, (tuple, list)) else (dx, dw)

    return forward, both


def mean_loss(forward: Callable) -> Callable:
    """Return a forward that returns the mean of the losses of all samples, as ``Loss.calculate`` does in nnfs.io."""

    @functools.wraps(forward)
    def averaged(*inputs: Any) -> Any:
        return np.mean(forward(*inputs))

    return averaged
