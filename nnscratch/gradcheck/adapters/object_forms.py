"""Objects that are not Modules: which methods are forward and backward, and how they are called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..nested import is_array, is_float, map_leaves
from ..snapshot import Snapshot
from .backprop import BackpropAdapter
from .base import Adapter, copy_array
from .extra_arguments import mean_loss, methods_with_inputs, needs_more
from .foreign import refuse_foreign
from .names import argument_names
from .objects import ObjectAdapter
from .output_attribute import attributes_of, output_name, returning_backward, returning_methods
from .rates import LearningRateAdapter, takes_rate
from .refusals import object_refusal
from .slopes import slope_methods

FORWARDS = (
    "forward predict __call__ forward_propagation forward_prop forward_pass fprop fwd feedforward feed_forward apply"
).split()
BACKWARDS = "backward backward_propagation backward_prop backward_pass bprop bwd back_propagation".split()
BACKPROPS = "backprop back_prop backpropagation backpropagate".split()


def method_of(instance: Any, names: list[str]) -> Callable | None:
    """Return the first method of `instance` with one of these names; None if there is none."""
    return next((method for name in names if callable(method := getattr(instance, name, None))), None)


def object_adapter(
    instance: Any, inputs: tuple, forward: Callable | None = None, backward: Callable | None = None
) -> Adapter | None:
    """Return the adapter for an object with a forward and a backward, of any names; None if it has not both.

    Forward is run once, to find out whether it returns its output or leaves it in an attribute.

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
        if len(inputs) > 1 and len(argument_names(backprop, 9)) > 1:
            return BackpropAdapter(instance, forward, backprop, inputs)
        backward = backprop
    result, attribute = try_forward(instance, forward, inputs)
    refuse_foreign({f"the output of {type(instance).__name__}": result})
    is_output = is_array(result) and is_float(result) and result.ndim > 0
    count = len(result) if isinstance(result, tuple) else 1
    if attribute is not None:
        forward, backward = returning_methods(instance, forward, backward, attribute)
    elif result is None and backward is not None:
        raise object_refusal(instance, forward, backward, argument_names(forward, len(inputs)))
    if is_output or backward is None:
        methods = slope_methods(instance, forward, backward)
        if methods is not None:
            return ObjectAdapter(instance, inputs, *methods)
    if backward is None:
        return None
    if takes_rate(backward, count):
        return LearningRateAdapter(instance, forward, backward, inputs)
    original = backward
    backward = returning_backward(instance, forward, backward)
    if needs_more(original, count):
        if is_output and callable(getattr(instance, "calculate", None)):  # a loss of nnfs.io
            forward = mean_loss(forward)
        forward, backward = methods_with_inputs(instance, forward, backward)
    return ObjectAdapter(instance, inputs, forward, backward)


def try_forward(instance: Any, forward: Callable, inputs: tuple) -> tuple[Any, str | None]:
    """Run forward once, and restore everything.

    Returns
    -------
    (object, str or None)
        What it returned, and the attribute that holds its output if it returned None. An error counts as a result: the
        check itself meets it again and reports it.
    """
    before, attributes = Snapshot(instance, inputs), attributes_of(instance)
    try:
        result = forward(*(map_leaves(copy_array, x) for x in inputs))
        return result, (output_name(instance, attributes) if result is None else None)
    except Exception as error:
        return error, None
    finally:
        before.restore()
