"""Objects with a method ``loss``.

Such an object may be a loss with a second method, which returns the gradient. Or it may be a model whose ``loss``
returns the gradients too, or keeps them in the model.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from ..gradient_names import gradient_words
from ..nested import attribute_of, float_leaves, has_attribute, has_no_axes, is_array, is_float, map_leaves
from ..places import is_outside
from ..snapshot import Snapshot, equal_arrays
from .base import Adapter, copy_array
from .functions import PairAdapter
from .matching import shape_of
from .objects import LossObjectAdapter, ObjectAdapter

LOSSES = "__call__ forward fn value calc_loss compute_loss cost".split()
LOSS_METHODS = "compute_loss_and_gradients loss_and_gradients compute_loss_and_grads loss_and_grads".split()
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


class StoredGradientsAdapter(ObjectAdapter):
    """A model and one of its methods, which returns the loss and keeps the gradients in the model.

    The method may also return other numbers, such as the accuracy: ``loss, accuracy = net.forward(X, y)``. The checker
    uses only the first number. To get the gradients, the adapter runs the method again.

    Examples
    --------
    >>> class Model:
    ...     def __init__(self):
    ...         self.W = np.full((2, 1), 3.0)
    ...     def compute_loss(self, X):
    ...         self.dW = X.sum(axis=0)[:, None]
    ...         return np.sum(X @ self.W)
    >>> model = Model()
    >>> adapter = StoredGradientsAdapter(model, model.compute_loss, (np.ones((3, 2)),))
    >>> float(adapter.run()[0]), adapter.gradients((1.0,)), model.dW.tolist()
    (18.0, {'X': None}, [[3.0], [3.0]])
    """

    inputs_are_data = False

    def __init__(self, instance: Any, method: Callable, inputs: tuple):
        @functools.wraps(method)
        def loss(*given: Any) -> Any:
            result = method(*given)
            if not isinstance(result, tuple):
                return result
            self.add_note(f"{method.__name__} returns {len(result)} numbers; the checker uses the first as the loss")
            return result[0]

        def run_again() -> None:
            method(*self.inputs)

        super().__init__(instance, inputs, loss, run_again)


def stored_gradients_adapter(instance: Any, method: Any, inputs: tuple) -> Adapter | None:
    """Return a `StoredGradientsAdapter`, or None if `method` does not return a loss and keep gradients in `instance`.

    Run the method once. It must return a float, or a tuple of numbers that starts with a float. And it must create or
    change an array that has the name of a gradient, such as ``self.dW``, ``self.grads["W"]`` or ``self.W.grad``. The
    object must also hold an array with another name: a loss without weights keeps the gradient of its input.
    """
    if not callable(method) or isinstance(instance, (type, ModuleType, type(None))):
        return None
    before = Snapshot([instance], inputs)
    old = {steps: before.values_of(value) for steps, value in before.places if is_array(value)}
    try:
        result = method(*(map_leaves(copy_array, x) for x in inputs))
        values = list(result) if isinstance(result, tuple) else [result]
        if not values or not is_float(values[0]) or not all(map(has_no_axes, values)):
            return None
        now = [(k, v) for k, v in Snapshot([instance]).places if is_array(v) and is_float(v) and gradient_words(k)]
        changed = any(old.get(k) is None or not equal_arrays(v, old[k]) for k, v in now)
        held = [(k, v) for k, v in before.places if k[0] == ("root", 0) and not is_outside(k)]
        has_weights = any(is_array(v) and is_float(v) and not gradient_words(k) for k, v in held)
    except Exception:  # the check runs this code again and reports the error
        return None
    finally:
        before.restore()
    return StoredGradientsAdapter(instance, method, inputs) if changed and has_weights else None


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
    loss with its gradient. The loss of such an object may also be computed by ``__call__``, ``forward`` or ``fn``.

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
    gradient = next((m for name in GRADIENTS if callable(m := attribute_of(instance, name))), None)
    if not callable(loss) and gradient is not None and len(inputs) > 1:
        loss = next((m for name in LOSSES if callable(m := attribute_of(instance, name))), None)
    if not callable(loss):
        return None
    if has_attribute(instance, "params"):
        return LossObjectAdapter(instance, inputs)
    held = [v for v in attribute_of(instance, "__dict__", {}).values() if any(is_array(a) for a in float_leaves(v))]
    if gradient is not None and not held:
        adapter = PairAdapter(summed(loss), gradient, inputs)
        adapter.source, adapter.title = [instance], type(instance).__name__
        return adapter
    if gradient is not None and not has_attribute(instance, "gradient"):
        return CostPrimeAdapter(instance, summed(loss), gradient, inputs)
    return WeightsLossAdapter(instance, inputs)


def summed(loss: Callable) -> Callable:
    """Return a loss that is the sum of the losses of all elements."""

    @functools.wraps(loss)
    def total(*inputs: Any) -> Any:
        value = loss(*inputs)
        return value if has_no_axes(value) else np.sum(value)

    return total
