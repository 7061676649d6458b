"""Objects with a method ``loss``.

Such an object may be a loss with a second method, which returns the gradient. Or it may be a model whose ``loss``
returns the gradients too.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ..nested import attribute_of, float_leaves, has_attribute, has_no_axes, is_array
from .base import Adapter
from .functions import PairAdapter
from .matching import shape_of
from .objects import LossObjectAdapter

GRADIENTS = "gradient grad derivative deriv prime loss_gradient loss_grad gradients dloss".split()


class WeightsLossAdapter(LossObjectAdapter):
    """A model without ``params`` whose ``loss(X, y)`` returns the loss and the gradients of its weights.

    CS231n's ``LinearClassifier`` has this form: its weights are ``self.W``, and its loss returns ``(loss, dW)``.

    Examples
    --------
    >>> class Model:
    ...     def __init__(self):
    ...         self.W = np.full((2, 1), 3.0)
    ...     def loss(self, X, y):
    ...         error = X @ self.W - y
    ...         return np.sum(error**2), 2 * X.T @ error
    >>> adapter = WeightsLossAdapter(Model(), (np.ones((1, 2)), np.ones((1, 1))))
    >>> float(adapter.run()[0]), adapter.gradients((1.0,)), adapter.surplus[0].tolist()
    (25.0, {}, [[10.0], [10.0]])
    """

    def gradients(self, dys: tuple) -> dict[str, Any]:
        if self.given is None or isinstance(self.given, dict):
            return super().gradients(dys)
        self.surplus, self.missing = list(self.given) if isinstance(self.given, tuple) else [self.given], ()
        return {}


class CostPrimeAdapter(PairAdapter):
    """Two methods of a model: ``cost(X, y)``, and ``cost_prime(X, y)``, which returns the gradients of the weights.

    Examples
    --------
    >>> class Model:
    ...     W = np.full((2, 1), 3.0)
    ...     def cost(self, X):
    ...         return np.sum(X @ self.W)
    ...     def cost_prime(self, X):
    ...         return (X.sum(axis=0)[:, None],)
    >>> model = Model()
    >>> adapter = CostPrimeAdapter(model, model.cost, model.cost_prime, (np.ones((3, 2)),))
    >>> float(adapter.run()[0]), adapter.gradients((1.0,)), adapter.surplus[0].tolist()
    (18.0, {}, [[3.0], [3.0]])
    """

    returns_cache = False

    def __init__(self, instance: Any, cost: Callable, prime: Callable, inputs: tuple):
        super().__init__(cost, prime, inputs)
        self.source, self.title = [instance], type(instance).__name__

    def gradients(self, dys: tuple) -> dict[str, Any]:
        result = self.backward(*self.inputs)
        given = list(result) if isinstance(result, (tuple, list)) else [result]
        of_inputs = all(shape_of(g) == shape_of(x) for g, x in zip(given, self.inputs, strict=False))
        if isinstance(result, dict) or of_inputs:
            return self.match_to_inputs(result)
        self.surplus, self.missing = given, ()
        return {}


def loss_adapter(instance: Any, inputs: tuple) -> Adapter | None:
    """Return the adapter for an object with a method ``loss``, or None if it has no such method.

    If the object contains no arrays, and has a method such as ``gradient`` or ``grad``, it is checked as a
    loss with its gradient.

    Examples
    --------
    >>> class SquareLoss:
    ...     def loss(self, y, y_pred):
    ...         return 0.5 * (y - y_pred) ** 2
    ...     def gradient(self, y, y_pred):
    ...         return y_pred - y
    >>> adapter = loss_adapter(SquareLoss(), (np.zeros(2), np.array([1.0, 3.0])))
    >>> float(adapter.run()[0]), adapter.gradients((1.0,))
    (5.0, {'y_pred': array([1., 3.])})
    """
    loss = attribute_of(instance, "loss")
    if not callable(loss):
        return None
    if has_attribute(instance, "params"):
        return LossObjectAdapter(instance, inputs)
    gradient = next((m for name in GRADIENTS if callable(m := attribute_of(instance, name))), None)
    held = [v for v in attribute_of(instance, "__dict__", {}).values() if any(is_array(a) for a in float_leaves(v))]
    if gradient is not None and not held:
        adapter = PairAdapter(summed(loss), gradient, inputs)
        adapter.source, adapter.title = [instance], type(instance).__name__
        return adapter
    return WeightsLossAdapter(instance, inputs)


def summed(loss: Callable) -> Callable:
    """Return a loss that is the sum of the losses of all elements."""

    @functools.wraps(loss)
    def total(*inputs: Any) -> Any:
        value = loss(*inputs)
        return value if has_no_axes(value) else np.sum(value)

    return total
