"""BackpropAdapter: ``feedforward(x)`` and ``backprop(x, y)``, as in Nielsen's "Neural Networks and Deep Learning"."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..nested import attribute_of, float_leaves, has_no_axes, is_array, is_float, leaves
from ..snapshot import Snapshot
from .base import Adapter

COSTS = ("fn", "cost", "loss", "compute", "forward")


class BackpropAdapter(Adapter):
    """A network with ``feedforward(x)`` and ``backprop(x, y)``, which returns the gradients as lists.

    The cost is ``self.cost.fn(a, y)`` if the network has an attribute ``cost``. Otherwise it is Nielsen's quadratic
    cost, 1/2 sum (a - y)^2. Each list that ``backprop`` returns contains the gradients of one list of arrays, such as
    ``self.biases``.

    Examples
    --------
    >>> class Network:
    ...     def __init__(self):
    ...         self.weights = [np.full((1, 2), 3.0)]
    ...     def feedforward(self, a):
    ...         return self.weights[0] @ a
    ...     def backprop(self, x, y):
    ...         return [(self.feedforward(x) - y) @ x.T]
    >>> net = Network()
    >>> adapter = BackpropAdapter(net, net.feedforward, net.backprop, (np.ones((2, 1)), np.ones((1, 1))))
    >>> float(adapter.run()[0]), adapter.gradients((1.0,))
    (12.5, {'weights[0]': array([[5., 5.]])})
    """

    def __init__(self, instance: Any, forward: Callable, backprop: Callable, inputs: tuple):
        super().__init__([instance], type(instance).__name__, inputs, backprop)
        if len(inputs) < 2:
            raise TypeError(f"{self.title}.{backprop.__name__} takes x and y: call check_gradients(net, x, y)")
        self.instance, self.forward, self.backprop = instance, forward, backprop
        cost = attribute_of(instance, "cost")
        self.cost = next((found for n in COSTS if callable(found := attribute_of(cost, n))), None)
        if self.cost is None:
            self.cost = cost if callable(cost) and not isinstance(cost, type) else quadratic_cost
        if self.cost is quadratic_cost:
            self.add_note("the network has no attribute cost, so the checker used the cost 1/2 sum (a - y)^2")
        before = Snapshot([instance], self.inputs)
        try:
            self._attributes = self._find_attributes(self._returned())
        finally:
            before.restore()

    def _returned(self) -> list[Any]:
        result = self.backprop(*self.inputs)
        if isinstance(result, dict):
            return list(result.values())
        nested = isinstance(result, (tuple, list)) and any(isinstance(r, (tuple, list)) for r in result)
        return list(result) if nested else [result]

    def _find_attributes(self, returned: list[Any]) -> list[str | None]:
        held = {k: v for k, v in vars(self.instance).items() if isinstance(v, (list, tuple)) and float_leaves(v)}
        found: list[str | None] = []
        for nest in returned:
            shapes = [np.shape(leaf) for leaf in float_leaves(nest)]
            found.append(
                next((k for k, v in held.items() if [a.shape for a in arrays_in(v)] == shapes and k not in found), None)
            )
        if found and None in found:
            raise TypeError(
                f"{self.title}.{self.backprop.__name__} must return a list of gradients for each list of parameters, "
                f"with the same shapes. The returned gradients fit none of the network's lists "
                f"({', '.join(held) or 'it has none'})"
            )
        return found

    def parameters(self) -> dict[str, Any]:
        return {name: a for name, a in self.complex_parameters().items() if is_float(a)}

    def complex_parameters(self) -> dict[str, Any]:
        found = [leaf for k in self._attributes for leaf in leaves(k, getattr(self.instance, k))]
        return {name: a for name, a in found if is_array(a)}

    def run(self) -> tuple:
        cost = self.cost(self.forward(self.inputs[0]), self.inputs[1])
        return (cost if has_no_axes(cost) else np.sum(cost),)

    def gradients(self, dys: tuple) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, nest in zip(self._attributes, self._returned(), strict=True):
            arrays = [n for n, a in leaves(name, getattr(self.instance, name)) if is_array(a) and is_float(a)]
            found.update(zip(arrays, float_leaves(nest), strict=True))
        return found


def arrays_in(nest: Any) -> list[Any]:
    """Return the float arrays of a nested structure, in order."""
    return [a for a in float_leaves(nest) if is_array(a)]


def quadratic_cost(a: Any, y: Any) -> Any:
    """Return the quadratic cost 1/2 sum (a - y)^2."""
    return 0.5 * np.sum((a - y) ** 2)
