"""Projection: the outputs y of forward, reduced to one number f, the sum of R * y with weights R.

Only a function that returns one number has a gradient. Therefore the checker multiplies the outputs by weights R, and
adds the products. The weights are random, so that errors in different outputs do not cancel. R stays the same during a
check. Since df/dy = R, the checker calls backward with dy = R. If forward returns one number, such as a loss, R is 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from .adapters import Adapter, copy_array
from .nested import array_module, has_no_axes, is_array, is_float, leaves, map_leaves, to_numpy
from .random_states import RandomStates
from .snapshot import Snapshot, equal_arrays


class NotDeterministic(ValueError):
    """Forward returns different outputs for the same inputs, random numbers and state."""


class Projection:
    """The number f, the weighted sum of the outputs of forward, as a function of the arrays.

    ``projection()`` runs forward with the current values of the arrays, and returns f.

    Parameters
    ----------
    adapter : Adapter
    rng : numpy.random.Generator
        The generator that draws the weights R.

    Attributes
    ----------
    variables : dict of str to array
        The arrays with respect to which f is differentiated: parameters, then float inputs.
    outputs : tuple
        The outputs of the first forward.
    weights : tuple
        The weights R, nested like the outputs. The weight is None for outputs that are not floats.
    written_inputs : list of str
        The inputs and parameters that forward changes in place. Later calls of forward get copies of these inputs.
    replayed : str
        The state that the checker restores before every forward: "" for none, "draws" for the random generators,
        "state" for all objects of the user's code.
    state : Snapshot
        The state of the user's objects before the first forward.

    Raises
    ------
    NotDeterministic
        Forward returns different outputs for the same inputs, random numbers and state.
    TypeError
        Forward returns no floats.
    """

    def __init__(self, adapter: Adapter, rng: np.random.Generator):
        self.adapter = adapter
        self.variables = {**adapter.parameters(), **adapter.float_inputs()}
        self.written_inputs: list[str] = []
        self.state_roots = (adapter.source, adapter.inputs)
        self.state = Snapshot(*self.state_roots)
        self._random_states = RandomStates(self.state.generators)
        arrays = adapter.arrays()
        before = [a.copy() for _, a in arrays]
        first = self._copies(adapter.run())
        for (name, array), old in zip(arrays, before, strict=True):
            if not equal_arrays(array, old):
                self.written_inputs.append(name)
                array[...] = old
        self.replayed = "draws" if self._random_states.advanced() else ""
        if self.replaced_parameters():
            self.replayed = "state"
        again = self._copies(self.forward())
        adapter.clear_saved()
        if not equal_outputs(first, again):
            self.replayed = "state"
            again, third = self._copies(self.forward()), self._copies(self.forward())
            adapter.clear_saved()
            if not equal_outputs(first, again) or not equal_outputs(first, third):
                raise NotDeterministic(
                    f"{adapter.title} returns different outputs for the same inputs, even if all attributes and the "
                    f"states of all random generators (its own, numpy.random, random) are restored before each call"
                )
        self.outputs = first
        if not any(is_float(y) for _, y in leaves("", first)):
            kinds = ", ".join(str(getattr(y, "dtype", type(y).__name__)) for _, y in leaves("", first))
            raise TypeError(f"{adapter.title} returns no floats, so there is nothing to differentiate: {kinds}")
        self.weights = map_leaves(lambda y: random_weights_like(y, rng), first)
        if len(first) == 1 and has_no_axes(first[0]):
            self.weights = (
                1.0 if isinstance(first[0], float) and not isinstance(first[0], np.generic) else np.ones(()),
            )
        elif adapter.loss is not None and has_no_axes(first[0]):
            self.weights = (1.0, *self.weights[1:])

    @staticmethod
    def _copies(ys: tuple) -> tuple:
        return map_leaves(lambda y: y.copy() if is_array(y) else y, ys)

    def forward(self) -> tuple:
        """Run forward with the random numbers of the first run, and return the outputs."""
        if self.replayed == "draws":
            self._random_states.replay()
        elif self.replayed == "state":
            self.back_to_start()
        if not self.written_inputs:
            return self.adapter.run()
        inputs, own = self.adapter.inputs, list(self.adapter.parameters().values())
        before = [a.copy() for a in own]
        self.adapter.inputs = map_leaves(copy_array, inputs)
        try:
            return self._copies(self.adapter.run())
        finally:
            self.adapter.inputs = inputs
            for array, old in zip(own, before, strict=True):
                array[...] = old

    def back_to_start(self) -> None:
        """Restore the state of the user's objects before the first forward, but keep the values of `variables`."""
        self.state.restore(keep={id(v) for v in self.variables.values()})

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """In a ``with`` block, run the code from its first state. At the end, restore the state and the `variables`.

        Before the block, restore the state of the code too: if forward appends to a list in an object, the list
        contains values of earlier calls, and backward must not use these values. After the block, restore the weights,
        because backward may update them in place, or replace them by new arrays. The checker runs every backward in
        such a block, so that all later measurements use the old weights.
        """
        arrays = [*self.variables.values(), *(a for _, a in self.adapter.arrays())]
        held = [(array, array.copy()) for array in {id(a): a for a in arrays}.values()]
        self.back_to_start()
        try:
            yield
        finally:
            self.back_to_start()
            for array, old in held:
                if not equal_arrays(array, old):
                    array[...] = old

    def replaced_parameters(self) -> list[str]:
        """Return the names of the parameters whose array the code has replaced since the start of the check."""
        now = self.adapter.parameters()
        taken = {id(v) for v in self.adapter.float_inputs().values()}
        own = [name for name, v in self.variables.items() if id(v) not in taken]
        return [name for name in own if now.get(name) is not self.variables[name]]

    def constant_arrays(self) -> list[Any]:
        """Return the NumPy arrays in the user's objects that are not in `variables`, such as stored targets."""
        own = {id(v) for v in self.variables.values()}
        return [a for a in self.state.arrays() if isinstance(a, np.ndarray) and a.size > 1 and id(a) not in own]

    def terms(self) -> list[Any]:
        """Run forward and return each float output, multiplied by its weights R, as a flat array."""
        ys = self.forward()
        found = [
            np.ravel(w * (to_numpy(y) if is_array(y) else y))
            for (_, w), (_, y) in zip(leaves("", self.weights), leaves("", ys), strict=True)
            if w is not None
        ]
        self.adapter.clear_saved()
        return found

    def __call__(self) -> float:
        """Run forward and return f."""
        total = self.weighted_sum(self.forward())
        self.adapter.clear_saved()
        return total

    def weighted_sum(self, ys: tuple) -> float:
        """Return f for the outputs `ys`: the sum of their elements, each multiplied by its weight in R."""
        total = 0.0
        for (_, w), (_, y) in zip(leaves("", self.weights), leaves("", ys), strict=True):
            if w is not None:
                total += float((to_numpy(y) * w).sum()) if is_array(y) else float(y) * w
        return total

    def flat_outputs(self) -> np.ndarray:
        """Run forward and return all float outputs in one flat array."""
        ys = self.forward()
        found = [
            np.ravel(to_numpy(y) if is_array(y) else np.asarray(y))
            for (_, w), (_, y) in zip(leaves("", self.weights), leaves("", ys), strict=True)
            if w is not None
        ]
        self.adapter.clear_saved()
        return np.concatenate([[], *found]).astype(np.float64)

    def flat_weights(self) -> np.ndarray:
        """Return the weights R of the outputs in one flat array, in the order of `flat_outputs`."""
        found = [np.ravel(w) for _, w in leaves("", self.weights) if w is not None]
        return np.concatenate([[], *found]).astype(np.float64)

    def dys(self, weights: tuple | None = None) -> tuple:
        """Return the gradients of f with respect to the outputs.

        These are copies of the weights R, with the dtypes and on the devices of the outputs.
        """
        weights = self.weights if weights is None else weights
        return weights_like_outputs(weights, self.outputs)

    def analytic(self, weights: tuple | None = None) -> dict[str, Any]:
        """Run forward and backward, and return a float64 copy of each gradient by name.

        The value is None if backward returned None for an array.
        """
        with self.unchanged():
            self.forward()
            given = self.adapter.gradients(self.dys(weights))
            return {name: gradient_as_float64(given[name]) for name in self.variables if name in given}

    def gradients_of(self, names: list[str], weights: tuple | None = None) -> list[np.ndarray]:
        """Run forward and backward, and return the gradients of the arrays `names`.

        If backward returns None for an array, its gradient is zero.
        """
        given = self.analytic(weights)
        return [np.zeros(self.variables[n].shape) if given.get(n) is None else given[n] for n in names]


def random_weights_like(y: Any, rng: np.random.Generator) -> Any:
    """Return random weights for the output `y`, with absolute values from 0.5 to 1.5 and random signs.

    Return 1 if `y` is a single number, and None if `y` does not contain floats.
    """
    if not is_float(y):
        return None
    if not is_array(y):
        return 1.0
    return np.asarray(rng.uniform(0.5, 1.5, y.shape) * rng.choice([-1.0, 1.0], y.shape))


def projection_weights(ys: tuple) -> tuple:
    """Return random weights for the outputs `ys`. The weight of a single number is 1."""
    if len(ys) == 1 and has_no_axes(ys[0]):
        return (1.0,)
    rng = np.random.default_rng(3)
    return map_leaves(lambda y: random_weights_like(y, rng), ys)


def weighted_sum(weights: tuple, ys: tuple) -> float:
    """Return the sum of all elements of the outputs `ys`, each multiplied by its weight in `weights`."""
    pairs = zip(leaves("", weights), leaves("", ys), strict=True)
    terms = [np.sum(w * (to_numpy(y) if is_array(y) else y)) for (_, w), (_, y) in pairs if w is not None]
    return float(sum(terms))


def weights_like_outputs(weights: Any, ys: Any) -> Any:
    """Return copies of `weights` that are nested like the outputs `ys`, with the same array types and devices."""
    if isinstance(ys, (tuple, list)):
        values = [weights_like_outputs(w, y) for w, y in zip(weights, ys, strict=True)]
        return type(ys)(*values) if hasattr(ys, "_fields") else type(ys)(values)
    if isinstance(ys, dict):
        return {key: weights_like_outputs(weights[key], ys[key]) for key in ys}
    if isinstance(ys, np.floating) and weights is not None:
        return np.array(weights, dtype=ys.dtype)
    if weights is None or not is_array(ys):
        return weights
    values = array_module(ys).asarray(weights, dtype=ys.dtype).copy().reshape(ys.shape)
    return values.view(np.matrix) if isinstance(ys, np.matrix) else values


def gradient_as_float64(gradient: Any) -> Any:
    """Return a float64 NumPy copy of a gradient. Values that are not real numbers keep their dtype."""
    if gradient is None:
        return None
    try:
        array = to_numpy(gradient) if is_array(gradient) else np.asarray(gradient)
    except ValueError:  # rows of different lengths do not form an array
        array = np.asarray(str(type(gradient).__name__))
    return array.astype(np.float64) if array.dtype.kind in "fiub" else array.copy()


def equal_outputs(a: tuple, b: tuple) -> bool:
    """Return True if all outputs are equal. NaN equals NaN."""
    pairs = zip(leaves("", a), leaves("", b), strict=True)
    for (_, x), (_, y) in pairs:
        if not is_array(x):
            if x != y and not (is_float(x) and x != x and y != y):
                return False
        elif x.shape != y.shape or not bool(((x == y) | ((x != x) & (y != y))).all()):
            return False
    return True
