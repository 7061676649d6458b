"""Objects whose forward only sets ``self.output``, as in "Neural Networks from Scratch" (nnfs.io)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ..nested import attribute_of, is_float
from .calls import returned_names
from .names import argument_names, gradient_names

OUTPUTS = ("output", "outputs", "out", "y", "a", "A", "Z", "z", "activation", "activations", "result", "value", "probs")
INPUT_GRADIENTS = ("dinputs", "dinput", "d_input", "d_inputs", "input_gradient", "grad_input", "input_grad", "dX", "dx")


def attributes_of(instance: Any) -> dict[str, Any]:
    """Return the attributes of an object by name, except those in ``__slots__``."""
    return dict(attribute_of(instance, "__dict__", {}))


def output_name(instance: Any, before: dict[str, Any]) -> str | None:
    """Return the name of the attribute that forward has set to its output, or None if there is no such attribute.

    Parameters
    ----------
    instance : object
    before : dict
        The attributes before forward ran.
    """
    now = attributes_of(instance)
    new = [k for k, v in now.items() if v is not before.get(k) and is_float(v)]
    return next((name for name in OUTPUTS if name in new), None) or (new[0] if len(new) == 1 else None)


def returning_methods(instance: Any, forward: Callable, backward: Callable, name: str) -> tuple[Callable, Callable]:
    """Return a forward that returns the attribute `name`, and a backward that returns ``self.dinputs``.

    If the backward of the object returns a value, the new backward returns this value. The gradients of the weights
    stay in ``self.dweights`` and ``self.dbiases``.

    Examples
    --------
    >>> class Activation_Double:
    ...     def forward(self, inputs):
    ...         self.output = 2 * inputs
    ...     def backward(self, dvalues):
    ...         self.dinputs = 2 * dvalues
    >>> layer = Activation_Double()
    >>> forward, backward = returning_methods(layer, layer.forward, layer.backward, "output")
    >>> forward(3.0), backward(1.0)
    (6.0, 2.0)
    """

    @functools.wraps(forward)
    def returning_forward(*inputs: Any) -> Any:
        forward(*inputs)
        return getattr(instance, name)

    return returning_forward, returning_backward(instance, forward, backward)


def returning_backward(instance: Any, forward: Callable, backward: Callable) -> Callable:
    """Return a function that calls `backward` and returns its result.

    If this result is None, the function returns the attribute in which `backward` saved the gradient, such as
    ``self.dinputs``. If there is no such attribute, it returns None.
    """
    first, returned = argument_names(forward, 1)[0], returned_names(forward)
    names = [n for n in (*gradient_names(first)[1:], *INPUT_GRADIENTS) if n not in returned]

    @functools.wraps(backward)
    def returning(*arguments: Any) -> Any:
        before = attributes_of(instance)
        result = backward(*arguments)
        if result is not None:
            return result
        now = attributes_of(instance)
        return next((now[n] for n in names if n in now and now[n] is not before.get(n)), None)

    return returning
