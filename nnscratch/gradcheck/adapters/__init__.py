"""Adapters: one for each form of code that the checker accepts.

    form                                   example                                               file
    a Module, with or without a loss       nn.LSTM(3, 4)                                         modules.py
    a pair of functions                    (affine_forward, affine_backward)                     functions.py
    a function and its gradient            (f, grad_f), or one function that returns both        functions.py
    a model, its loss, and their gradient  (forward, cost, backward), three functions            three_functions.py
    an elementwise function and its slope  (sigmoid, sigmoid_prime)                              slopes.py
    an object with forward and backward    params and grads, self.W and self.dW, ...             objects.py
      that leaves its output in self       layer.forward(x); layer.output                        output_attribute.py
      whose backward takes more arguments  cell.backward(delta, h_t, h_prev_l, h_prev_t)         extra_arguments.py
      whose backward updates its weights   layer.backward(error, learning_rate)                  rates.py
      with backprop(x, y)                  nabla_b, nabla_w = net.backprop(x, y)                 backprop.py
    torch's Module or autograd.Function    torch.nn.Linear(3, 4), or a class with static methods torch_forms.py
    a function of JAX arrays               jax.custom_vjp(f), jax.jit(f)                         jax_forms.py
    a function of tensors, a Keras layer   tf.custom_gradient(f), keras.layers.Dense(4)          tensorflow_forms.py
    values with data, grad and backward()  lambda a, b: a * b + b, called with micrograd's Value values.py
    Python numbers and lists of numbers    (f, f_prime), 3.0                                     numbers.py
    a class with a context                 forward(ctx, a, b), backward(ctx, dy), static         contexts.py
    an object with a loss                  loss, grads = net.loss(x, t), or net.gradient(x, t)   losses.py
      that keeps its gradients             loss, accuracy = net.forward(x, t); net.gradients["W"]

An :class:`Adapter` (base.py) names the arrays, runs forward, and collects the gradients from backward. matching.py and
order.py decide which gradient from backward belongs to which input. To support another form of code, write an adapter
in a file of this folder, and extend :func:`find_adapter` to recognise the form.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType, MethodType, ModuleType
from typing import Any

from ...module import Module
from ..nested import attribute_of, map_leaves
from .base import NO_CACHE, Adapter, copy_array
from .calls import required_names
from .contexts import FunctionAdapter, class_adapter, takes_context
from .convention import divide_by_examples
from .foreign import refuse_foreign
from .found import FoundParameter, FoundParametersAdapter
from .functions import PairAdapter, ValueAndGradientAdapter
from .jax_forms import JaxAdapter, at_border, returns_gradients, to_array, uses_jax
from .losses import LOSS_METHODS, CostPrimeAdapter, loss_adapter, stored_gradients_adapter
from .modules import ModuleAdapter
from .names import argument_names, function_name
from .numbers import as_arrays, holds_numbers, number_subject
from .object_forms import BACKWARDS, FORWARDS, method_of, object_adapter, three_methods
from .refusals import forward_only_refusal
from .slopes import SlopeAdapter, flagged_slope, is_slope
from .tensorflow_forms import TensorFlowAdapter, is_tensorflow
from .three_functions import ThreeFunctionsAdapter, is_three_functions
from .torch_forms import TorchAdapter, is_torch
from .values import ValueAdapter, first_parameter, values_in

__all__ = [
    "NO_CACHE",
    "Adapter",
    "FoundParameter",
    "FoundParametersAdapter",
    "copy_array",
    "in_convention",
    "make_adapter",
]
# If f is not a method of an object, `f.__self__` does not exist (None), is a module (math.sin), or is a class (a class
# method).
ABSENT = (type(None), ModuleType, type)


def make_adapter(subject: Any, inputs: tuple, loss: Any = None, targets: Any = ()) -> Adapter:
    """Return an `Adapter` for `subject`, the code to check: a Module, another object, a function or several functions.

    Raises
    ------
    TypeError
        `subject` has none of the forms that can be checked, or `loss` cannot be used with `subject`.
    """
    return find_adapter(subject, inputs, loss, targets if isinstance(targets, tuple) else (targets,))


def in_convention(adapter: Adapter, convention: str) -> Adapter:
    """Prepare `adapter` for gradients in the given convention, "sum" or "mean", and return it: see `check_gradients`.

    Raises
    ------
    ValueError
        `convention` is neither "sum" nor "mean".
    """
    if convention not in ("sum", "mean"):
        raise ValueError(f"convention must be 'sum' or 'mean', got {convention!r}")
    if convention == "mean":
        divide_by_examples(adapter)
    return adapter


def find_adapter(subject: Any, inputs: tuple, loss: Any, targets: tuple) -> Adapter:
    """Return an `Adapter` for `subject`, as `make_adapter` does. `targets` must be a tuple."""
    if is_torch(subject, inputs):
        return TorchAdapter(subject, inputs, loss, targets)
    if is_tensorflow(subject, inputs):
        return TensorFlowAdapter(subject, inputs)
    if uses_jax(subject, inputs):
        if isinstance(subject, (tuple, list)) or returns_gradients(subject, inputs):
            subject = tuple(at_border(f) for f in subject) if isinstance(subject, (tuple, list)) else at_border(subject)
            inputs = tuple(map_leaves(to_array, value) for value in inputs)
        else:
            return JaxAdapter(subject, inputs)
    if callable(subject) and any(values_in(value) for value in (*inputs, first_parameter(subject))):
        return ValueAdapter(subject, inputs)
    if holds_numbers(inputs):
        subject, inputs = number_subject(subject), as_arrays(inputs)
    forward = (
        subject[0] if isinstance(subject, (tuple, list)) and subject else attribute_of(subject, "forward", subject)
    )
    refuse_foreign(dict(zip(argument_names(forward, len(inputs)), inputs, strict=True)))
    refuse_foreign({f"self.{name}": value for name, value in attribute_of(subject, "__dict__", {}).items()})
    if isinstance(subject, type):
        return class_adapter(subject, inputs)
    if isinstance(subject, Module):
        return module_adapter(subject, inputs, loss, targets)
    if loss is not None:
        raise TypeError(
            f"loss= can only be used with a Module, got {type(subject).__name__}. Compute the loss in "
            f"the forward function instead"
        )
    if isinstance(subject, (tuple, list)) and len(subject) == 2 and all(callable(part) for part in subject):
        return pair_adapter(*subject, inputs)
    if is_three_functions(subject):
        owner = attribute_of(subject[0], "__self__")
        if owner is not None and all(attribute_of(part, "__self__") is owner for part in subject):
            return three_methods(owner, *subject, inputs)
        return ThreeFunctionsAdapter(*subject, inputs)
    if attribute_of(subject, "__name__", "") == "loss" and not isinstance(attribute_of(subject, "__self__"), ABSENT):
        return loss_adapter(subject.__self__, inputs)  # for example model.loss
    if not isinstance(subject, (tuple, list, FunctionType, MethodType)):
        if callable(attribute_of(subject, "backward")) and takes_context(attribute_of(subject, "forward", subject)):
            return FunctionAdapter(type(subject).__name__, subject.forward, subject.backward, inputs)
        adapter = object_adapter(subject, inputs)
        if adapter is not None:
            return adapter
    adapter = loss_adapter(subject, inputs) or keeps_gradients(subject, inputs)
    if adapter is not None:
        return adapter
    if callable(subject):
        return flagged_slope(subject, inputs) or ValueAndGradientAdapter(subject, inputs)
    if (method := method_of(subject, FORWARDS)) is not None:
        raise forward_only_refusal(subject, method, argument_names(method, len(inputs)))
    raise TypeError(
        "the code to check must be a Module, a pair (forward, backward) of functions, an object with forward and "
        "backward, an object with params and loss, or a function that returns (loss, gradient); got "
        f"{type(subject).__name__}. The page 'Your course, your framework' of the documentation lists all forms"
    )


def keeps_gradients(subject: Any, inputs: tuple) -> Adapter | None:
    """Return the adapter for a model whose method returns the loss and keeps the gradients, or None for other code.

    `subject` is this method, or the model. In a model, the method is ``forward``, or it has a name such as
    ``compute_loss_and_gradients``.
    """
    if isinstance(subject, MethodType):
        return stored_gradients_adapter(subject.__self__, subject, inputs)
    if isinstance(subject, (tuple, list, FunctionType)):
        return None
    methods = [attribute_of(subject, name) for name in ("forward", *LOSS_METHODS)]
    return next((a for method in methods if (a := stored_gradients_adapter(subject, method, inputs))), None)


def module_adapter(module: Module, inputs: tuple, loss: Any, targets: tuple) -> Adapter:
    """Return the adapter for a Module, with or without a loss. Raise TypeError if `loss` is not a Module."""
    if loss is not None and (isinstance(loss, type) or not (callable(loss) and hasattr(loss, "backward"))):
        got = f"the class {loss.__name__} itself" if isinstance(loss, type) else type(loss).__name__
        raise TypeError(f"loss must be a Module such as nn.MSELoss(), got {got}")
    return ModuleAdapter(module, inputs, loss, targets)


def pair_adapter(forward: Callable, backward: Callable, inputs: tuple) -> Adapter:
    """Return the adapter for two functions, or for two methods of one object.

    The pair may also be a function and its derivative, or a cost and a function that returns its gradients.
    """
    owner = attribute_of(forward, "__self__")
    same = owner is not None and owner is attribute_of(backward, "__self__")
    # For two methods of one object, check the whole object. math.sin is not a method: its __self__ is the module math.
    if same and not isinstance(owner, ModuleType):
        if isinstance(owner, Module):
            return ModuleAdapter(owner, inputs)
        if required_names(forward) == required_names(backward) and len(inputs) > 1:  # cost and cost_prime
            return CostPrimeAdapter(owner, forward, backward, inputs)
        if function_name(backward) not in BACKWARDS and is_slope(forward, backward, inputs):  # net.sigmoid_prime(z)
            return SlopeAdapter(forward, backward, inputs)
        return object_adapter(owner, inputs, forward, backward)
    if takes_context(forward) and takes_context(backward):
        return FunctionAdapter(function_name(forward), forward, backward, inputs)
    return (SlopeAdapter if is_slope(forward, backward, inputs) else PairAdapter)(forward, backward, inputs)
