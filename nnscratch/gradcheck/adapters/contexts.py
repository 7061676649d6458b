"""FunctionAdapter: forward and backward whose first argument is a context ``ctx``, as in PyTorch and minitorch."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from .base import Adapter
from .functions import PairAdapter
from .names import argument_names
from .refusals import class_refusal

CONTEXT_NAMES = ("ctx", "context", "ctxt", "cx", "fctx", "saved_ctx")


class Context:
    """The values that forward saves for backward, with ``ctx.save_for_backward(a, b)`` or in attributes.

    Examples
    --------
    >>> ctx = Context()
    >>> ctx.save_for_backward(1, 2)
    >>> ctx.shape = (3,)
    >>> ctx.saved_tensors, ctx.saved_values, ctx.shape
    ((1, 2), (1, 2), (3,))
    """

    def __init__(self, inputs: int = 1):
        self.saved_tensors: tuple = ()
        self.needs_input_grad = (True,) * inputs

    def save_for_backward(self, *values: Any) -> None:
        """Save values for backward."""
        self.saved_tensors = values

    def __setitem__(self, key: Any, value: Any) -> None:
        setattr(self, str(key), value)

    def __getitem__(self, key: Any) -> Any:
        return getattr(self, str(key))

    @property
    def saved_values(self) -> tuple:
        """The saved values, under minitorch's name."""
        return self.saved_tensors

    def mark_non_differentiable(self, *values: Any) -> None:
        """Do nothing. This method exists because PyTorch has it."""

    def set_materialize_grads(self, value: bool) -> None:
        """Do nothing. This method exists because PyTorch has it."""


class FunctionAdapter(Adapter):
    """``y = forward(ctx, a, b)`` and ``da, db = backward(ctx, dy)``, static methods of a class or two functions.

    Examples
    --------
    >>> class Mul:
    ...     @staticmethod
    ...     def forward(ctx, a, b):
    ...         ctx.save_for_backward(a, b)
    ...         return a * b
    ...     @staticmethod
    ...     def backward(ctx, grad_output):
    ...         a, b = ctx.saved_tensors
    ...         return grad_output * b, grad_output * a
    >>> import numpy as np
    >>> adapter = FunctionAdapter("Mul", Mul.forward, Mul.backward, (np.array(2.0), np.array(3.0)))
    >>> adapter.run(), adapter.gradients((1.0,))
    ((np.float64(6.0),), {'a': np.float64(3.0), 'b': np.float64(2.0)})
    """

    returns_cache = True

    def __init__(self, title: str, forward: Callable, backward: Callable, inputs: tuple):
        super().__init__([forward, backward], title, inputs, forward)
        self.input_names = argument_names(forward, len(inputs) + 1)[1:]
        self.forward, self.backward = forward, backward

    def run(self) -> tuple:
        self.cache = Context(len(self.inputs))
        y = self.forward(self.cache, *self.inputs)
        ys = y if isinstance(y, tuple) else (y,)
        self.packs_dys = self.takes_tuple_of(self.backward, len(ys))
        return ys

    def cached(self) -> Any:
        return self.cache if isinstance(self.cache, Context) else ()

    def gradients(self, dys: tuple) -> dict[str, Any]:
        return self.match_to_inputs(self.backward(self.cache, *self.given_dys(dys)))


def takes_context(function: Callable) -> bool:
    """Return True if the first argument of `function` has the name of a context, such as ``ctx``."""
    return argument_names(function, 1)[0].lower() in CONTEXT_NAMES


def class_adapter(cls: type, inputs: tuple) -> Adapter:
    """Return the adapter for a class whose forward and backward need no instance.

    Forward and backward are static methods or class methods, or their first argument is a context ``ctx``.

    Raises
    ------
    TypeError
        The class has no forward and backward, or they need an instance.
    """
    forward, backward = getattr(cls, "forward", None), getattr(cls, "backward", None)
    if not callable(forward) or not callable(backward):
        raise class_refusal(cls, inputs)
    if takes_context(forward):
        return FunctionAdapter(cls.__name__, forward, backward, inputs)
    static = [inspect.getattr_static(cls, name) for name in ("forward", "backward")]
    if all(isinstance(method, (staticmethod, classmethod)) for method in static):
        return PairAdapter(forward, backward, inputs)
    raise class_refusal(cls, inputs)
