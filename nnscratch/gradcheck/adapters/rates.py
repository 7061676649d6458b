"""LearningRateAdapter: ``backward(output_error, learning_rate)``, which updates the weights."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ..nested import is_array, is_float, leaves, map_leaves
from ..places import place_name, put_at, value_at
from ..snapshot import Snapshot, Steps
from .base import Adapter, copy_array
from .calls import optional_names, required_names

RATES = "lr learning_rate learningrate learn_rate learnrate lrate l_rate eta alpha step_size stepsize rate".split()
# A large rate gives exact gradients, because the rounding error of the new W is divided by the rate.
RATE = 1024.0


def rate_name(backward: Callable, outputs: int = 1) -> str | None:
    """Return the name of backward's learning rate, the argument after the gradients of the outputs.

    Return None if there is no such argument. Backward may take fewer gradients than there are `outputs`.

    Examples
    --------
    >>> rate_name(lambda output_error, learning_rate: None), rate_name(lambda d, lr=0.1: None)
    ('learning_rate', 'lr')
    """
    names = required_names(backward)
    if names is None:
        return None
    if 1 < len(names) <= outputs + 1 and names[-1].lower() in RATES:
        return names[-1]
    optional = [name for name in optional_names(backward) if name.lower() in RATES]
    return optional[0] if 0 < len(names) <= outputs and optional else None


class LearningRateAdapter(Adapter):
    """An object whose backward takes a learning rate and changes the weights: W becomes W - rate * dW.

    The gradient of a weight is its change, divided by -rate. After each backward, the adapter restores the weights. The
    weights are the float arrays that backward changes and forward does not change. `rate` is the name of the argument
    of `backward` that is the learning rate.

    Examples
    --------
    >>> class Scale:
    ...     def __init__(self):
    ...         self.w = np.ones(2)
    ...     def forward(self, x):
    ...         self.x = x
    ...         return x * self.w
    ...     def backward(self, dy, lr):
    ...         dx = dy * self.w
    ...         self.w = self.w - lr * dy * self.x
    ...         return dx
    >>> layer = Scale()
    >>> adapter = LearningRateAdapter(layer, layer.forward, layer.backward, (np.array([3.0, 4.0]),), "lr")
    >>> adapter.gradients(adapter.run())
    {'w': array([ 9., 16.]), 'x': array([3., 4.])}
    >>> print(layer.w)
    [1. 1.]
    """

    def __init__(self, instance: Any, forward: Callable, backward: Callable, inputs: tuple, rate: str):
        super().__init__([instance], type(instance).__name__, inputs, forward)
        self.forward = forward
        self.backward = functools.partial(backward, **{rate: RATE})
        self.taken = len([name for name in required_names(backward) or () if name != rate])
        self._places: dict[str, Steps] = {}
        before = Snapshot([instance], self.inputs)
        try:
            self._find_weights(before)
            before.restore()
            if self._depends_on_rate(before):
                self.add_note(
                    "the gradient that backward returns depends on the learning rate, so backward updates a weight and "
                    "then uses it: compute the gradient before the update"
                )
        except Exception as error:  # the checked code may raise any error, and the check will raise it again
            self.add_note(f"the search for weights failed ({type(error).__name__}: {error})")
        finally:
            before.restore()
        self.add_note("the gradients of the weights are their changes in backward, divided by the learning rate")

    def _find_weights(self, before: Snapshot) -> None:
        held = {place_name(s): s for s, v in before.places if s[0] == ("root", 0) and is_array(v) and is_float(v)}
        values = {name: self._at(steps).copy() for name, steps in held.items()}
        ys = self.run()
        read = {n: s for n, s in held.items() if np.array_equal(self._at(s), values[n])}
        self.backward(*(np.ones_like(y) for y in ys))
        seen: set[int] = set()
        for name, steps in read.items():
            now = self._at(steps)
            if is_array(now) and now.shape == values[name].shape and not np.array_equal(now, values[name]):
                if id(now) not in seen:
                    self._places[name.removeprefix("self.")] = steps
                seen.add(id(now))

    def _depends_on_rate(self, before: Snapshot) -> bool:
        """Return True if the result of backward changes with the learning rate."""
        results = []
        for rate in (RATE, 0.5 * RATE):
            ys = self.run()
            backward = functools.partial(self.backward, **dict.fromkeys(self.backward.keywords, rate))
            results.append(map_leaves(copy_array, backward(*(np.ones_like(y) for y in ys))))
            before.restore()
        pairs = zip(leaves("", results[0]), leaves("", results[1]), strict=True)
        return any(is_array(a) and is_float(a) and not np.array_equal(a, b) for (_, a), (_, b) in pairs)

    def _at(self, steps: Steps) -> Any:
        return value_at([self.source], steps)

    def parameters(self) -> dict[str, Any]:
        found = {name: self._at(steps) for name, steps in self._places.items()}
        return {name: a for name, a in found.items() if is_array(a) and a.dtype.kind == "f"}

    def complex_parameters(self) -> dict[str, Any]:
        return {name: self._at(steps) for name, steps in self._places.items()}

    def run(self) -> tuple:
        y = self.forward(*self.inputs)
        ys = y if isinstance(y, tuple) else (y,)
        if not 0 < self.taken < len(ys):
            return ys
        self.used = self.choose_outputs(ys, self.taken)
        self.left_out = tuple(y for i, y in enumerate(ys) if i not in self.used.checked)
        return tuple(ys[i] for i in self.used.checked)

    def gradients(self, dys: tuple) -> dict[str, Any]:
        arrays = {name: self._at(steps) for name, steps in self._places.items()}
        values = {name: a.copy() for name, a in arrays.items()}
        result = self.backward(*dys)
        found = {}
        for name, steps in self._places.items():
            found[name] = (values[name] - self._at(steps)) / RATE
            if self._at(steps) is not arrays[name]:
                put_at([self.source], steps, arrays[name])
            arrays[name][...] = values[name]
        if result is None and found:  # the first layer of a network may return None, as in `ObjectAdapter.gradients`
            self.surplus, self.missing = (), ()
            return found
        return {**found, **self.match_to_inputs(result)}
