"""Objects that are not Modules: find their forward and backward, and decide how to call them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..nested import attribute_of, is_array, is_float, map_leaves
from ..snapshot import Snapshot
from .backprop import BackpropAdapter
from .base import Adapter, copy_array
from .calls import optional_names, required_names
from .extra_arguments import mean_loss, methods_with_inputs, needs_more, with_weight_gradients
from .foreign import refuse_foreign
from .names import argument_names
from .objects import ObjectAdapter
from .output_attribute import attributes_of, output_name, returning_backward, returning_methods
from .rates import LearningRateAdapter, rate_name
from .refusals import object_refusal
from .slopes import SlopeAdapter, is_slope, slope_methods
from .three_functions import ThreeFunctionsAdapter

FORWARDS = (
    "forward predict __call__ forward_propagation forward_prop forward_pass fprop fwd feedforward feed_forward apply"
).split()
BACKWARDS = "backward backward_propagation backward_prop backward_pass bprop bwd back_propagation".split()
LOSSES = "loss compute_loss cost compute_cost calculate_loss loss_fn criterion calc_loss get_loss".split()
WEIGHT_GRADIENTS = "grads_wrt_params grads_wrt_parameters gradients_wrt_params backward_params".split()
BACKPROPS = "backprop back_prop backpropagation backpropagate".split()


def method_of(instance: Any, names: list[str]) -> Callable | None:
    """Return the first method of `instance` with one of these names, or None if there is none."""
    return next((method for name in names if callable(method := attribute_of(instance, name))), None)


def object_adapter(
    instance: Any, inputs: tuple, forward: Callable | None = None, backward: Callable | None = None
) -> Adapter | None:
    """Return the adapter for an object whose forward and backward have usual names, or None for other objects.

    Run forward once, to find out if forward returns its output or stores it in an attribute.

    Examples
    --------
    >>> class Layer:
    ...     def fprop(self, x):
    ...         self.output = 3 * x
    ...     def bprop(self, d):
    ...         self.dinputs = 3 * d
    >>> import numpy as np
    >>> adapter = object_adapter(Layer(), (np.ones(2),))
    >>> adapter.run(), adapter.gradients((np.ones(2),))
    ((array([3., 3.]),), {'x': array([3., 3.])})
    """
    forward, backward = forward or method_of(instance, FORWARDS), backward or method_of(instance, BACKWARDS)
    backprop = method_of(instance, BACKPROPS)
    if forward is None:
        return None
    if backward is None and backprop is not None:
        taken = [*(required_names(backprop) or inputs), *optional_names(backprop)]
        if len(inputs) > 1 and len(taken) > 1:
            return BackpropAdapter(instance, forward, backprop, inputs)
        backward = backprop
    loss = loss_method(instance, forward, inputs)
    if loss is not None and backward is not None:
        return three_methods(instance, forward, loss, backward, inputs)
    result, attribute = try_forward(instance, forward, inputs)
    refuse_foreign({f"the output of {type(instance).__name__}": result})
    is_output = is_array(result) and is_float(result) and result.ndim > 0
    count = len(result) if isinstance(result, tuple) else 1
    if attribute is not None:
        forward, backward = returning_methods(instance, forward, backward, attribute)
    elif result is None and backward is not None:
        raise object_refusal(instance, forward, backward, argument_names(forward, len(inputs)))
    if not inputs and backward is not None and not (required_names(backward) or optional_names(backward)):
        name = type(instance).__name__
        raise TypeError(
            f"{name}.{backward.__name__}() takes no arguments, and the checker has no inputs for "
            f"{name}.{forward.__name__}(). Write three functions that take the data as arguments, and call "
            f"check_gradients((forward, loss, backward), x, y)"
        )
    if inputs and (is_output or backward is None):
        methods = slope_methods(instance, forward, backward)
        if methods is not None:
            return ObjectAdapter(instance, inputs, *methods)
    if backward is None:
        return None
    if is_output and required_names(backward) == argument_names(forward, 1):
        if is_slope(forward, backward, inputs, by_name=False):  # backward(z) returns only the derivative at z
            return SlopeAdapter(forward, backward, inputs)
    rate = rate_name(backward, count)
    if rate is not None:
        updating = LearningRateAdapter(instance, forward, backward, inputs, rate)
        if updating.parameters() or needs_more(backward, count):
            return updating
    original = backward
    backward = returning_backward(instance, forward, backward)
    method = method_of(instance, WEIGHT_GRADIENTS)
    if method is not None and needs_more(method, 1):
        forward, backward = with_weight_gradients(instance, forward, backward, method)
    elif needs_more(original, count):
        if is_output and callable(attribute_of(instance, "calculate")):  # a loss as in nnfs.io
            forward = mean_loss(forward)
        forward, backward = methods_with_inputs(instance, forward, backward)
    return ObjectAdapter(instance, inputs, forward, backward)


def three_methods(instance: Any, forward: Callable, loss: Callable, backward: Callable, inputs: tuple) -> Adapter:
    """Return the adapter for three methods of an object, such as ``forward(x)``, ``loss(y, t)`` and ``backward(t)``.

    Examples
    --------
    >>> class Net:
    ...     def __init__(self):
    ...         self.W = 3.0
    ...     def forward(self, x):
    ...         return self.W * x
    ...     def loss(self, pred, t):
    ...         return ((pred - t) ** 2).sum()
    ...     def backward(self, x, t):
    ...         self.dW = (2 * (self.W * x - t) * x).sum()
    >>> import numpy as np
    >>> net = Net()
    >>> adapter = three_methods(net, net.forward, net.loss, net.backward, (np.ones(2), np.zeros(2)))
    >>> loss, _ = adapter.run()[0], adapter.gradients((1.0,))
    >>> float(loss), float(net.dW), adapter.input_names
    (18.0, 12.0, ['x', 't'])
    """
    inner = ThreeFunctionsAdapter(forward, loss, backward, inputs)

    def evaluate(*given: Any) -> Any:
        inner.inputs = given
        return inner.run()[0]

    adapter = ObjectAdapter(instance, inputs, evaluate, lambda: inner.call_backward())
    adapter.input_names = inner.input_names
    return adapter


def loss_method(instance: Any, forward: Callable, inputs: tuple) -> Callable | None:
    """Return the method that computes the loss, or None if forward takes all inputs."""
    names = required_names(forward)
    if names is None or len(inputs) <= len(names) + len(optional_names(forward)):
        return None
    return method_of(instance, LOSSES) or method_of(attribute_of(instance, "criterion"), ["forward", "__call__"])


def try_forward(instance: Any, forward: Callable, inputs: tuple) -> tuple[Any, str | None]:
    """Run forward once, and then restore the object and the inputs.

    Returns
    -------
    (object, str or None)
        The result of forward, and None. If forward returns None, the second value is the name of the attribute in which
        forward stored the output. If forward raises an error, the first value is this error, and the check will raise
        it again.
    """
    before, attributes = Snapshot(instance, inputs), attributes_of(instance)
    try:
        result = forward(*(map_leaves(copy_array, x) for x in inputs))
        return result, (output_name(instance, attributes) if result is None else None)
    except Exception as error:
        return error, None
    finally:
        before.restore()
