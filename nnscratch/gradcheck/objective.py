"""One number out of many outputs: f = sum over outputs of <R, y>, with R random and fixed.

R is drawn once, so that errors in different outputs cannot cancel by symmetry, and dL/dy = R exactly: that is what
backward is given. An output that is one number (a loss) gets R = 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import backend
from .isolation import Draws, Snapshot, same
from .targets import Target, own_copy
from .tree import has_no_axes, is_array, is_float, leaves, transform


class NotDeterministic(ValueError):
    """Forward gives another answer every time, and no random generator that could be replayed was found."""


class Objective:
    """A target's outputs projected onto one number, the same number every time.

    Attributes
    ----------
    variables : dict of str to array
        What f is differentiated with respect to: parameters, then float inputs.
    weights : tuple
        R, in the nest of the outputs; None at outputs that are not floats.
    written : list of str
        The inputs and parameters that forward writes into; it is given copies of them from then on.
    replayed : str
        "", "draws" (random generators are wound back before every forward) or "state" (all that the target holds).
    """

    def __init__(self, target: Target, rng: np.random.Generator):
        self.target = target
        self.variables = {**target.parameters(), **target.input_leaves()}
        self.replayed = ""
        self.written: list[str] = []
        self._state = Snapshot(target.source, target.inputs)
        self._draws = Draws(self._state.generators)
        arrays = target.arrays()
        before = [a.copy() for _, a in arrays]
        first = self._copies(target.run())
        for (name, array), old in zip(arrays, before, strict=True):
            if not same(array, old):
                self.written.append(name)
                array[...] = old
        drawn = self._draws.advanced()
        target.forget()
        self.replayed = "draws" if drawn else ""
        again = self._copies(self.forward())
        target.forget()
        if not alike(first, again):
            self.replayed = "state"
            again, third = self._copies(self.forward()), self._copies(self.forward())
            target.forget()
            if not alike(first, again) or not alike(first, third):
                raise NotDeterministic(
                    f"{target.title} gives another answer at every call, and replaying every random generator it holds "
                    f"(attributes, globals, numpy.random, random) and all its attributes does not help"
                )
        self.outputs = first
        if not any(is_float(y) for _, y in leaves("", first)):
            kinds = ", ".join(str(getattr(y, "dtype", type(y).__name__)) for _, y in leaves("", first))
            raise TypeError(f"{target.title} returns no floats, so that there is nothing to differentiate: {kinds}")
        self.weights = transform(lambda y: draw_like(y, rng), first)
        if len(first) == 1 and has_no_axes(first[0]):
            self.weights = (
                1.0 if isinstance(first[0], float) and not isinstance(first[0], np.generic) else np.ones(()),
            )
        elif getattr(target, "loss", None) is not None and has_no_axes(first[0]):
            self.weights = (1.0, *self.weights[1:])

    @staticmethod
    def _copies(ys: tuple) -> tuple:
        return transform(lambda y: y.copy() if is_array(y) else y, ys)

    def forward(self) -> tuple:
        """The outputs, with every random number drawn as it was the first time."""
        if self.replayed == "draws":
            self._draws.replay()
        elif self.replayed == "state":
            self.back_to_start()
        if not self.written:
            return self.target.run()
        inputs, own = self.target.inputs, list(self.target.parameters().values())
        before = [a.copy() for a in own]
        self.target.inputs = transform(own_copy, inputs)
        try:
            return self._copies(self.target.run())
        finally:
            self.target.inputs = inputs
            for array, old in zip(own, before, strict=True):
                array[...] = old

    def back_to_start(self) -> None:
        """All that the target holds as it was before its first forward, but not the values of the variables."""
        self._state.restore(keep={id(v) for v in self.variables.values()})

    def held_arrays(self) -> list[Any]:
        """The arrays that the target keeps in its attributes, and does not learn."""
        own = {id(v) for v in self.variables.values()}
        return [a for a in self._state.arrays() if isinstance(a, np.ndarray) and a.size > 1 and id(a) not in own]

    def terms(self) -> list[Any]:
        """R * y for each float output, as flat arrays."""
        ys = self.forward()
        found = [
            np.ravel(w * (backend.to_numpy(y) if is_array(y) else y))
            for (_, w), (_, y) in zip(leaves("", self.weights), leaves("", ys), strict=True)
            if w is not None
        ]
        self.target.forget()
        return found

    def __call__(self) -> float:
        """f."""
        total = 0.0
        ys = self.forward()
        for (_, w), (_, y) in zip(leaves("", self.weights), leaves("", ys), strict=True):
            if w is not None:
                total += float((backend.to_numpy(y) * w).sum()) if is_array(y) else float(y) * w
        self.target.forget()
        return total

    def values(self) -> np.ndarray:
        """Every number of every float output, in one row."""
        ys = self.forward()
        found = [
            np.ravel(backend.to_numpy(y) if is_array(y) else np.asarray(y))
            for (_, w), (_, y) in zip(leaves("", self.weights), leaves("", ys), strict=True)
            if w is not None
        ]
        self.target.forget()
        return np.concatenate(found).astype(np.float64) if found else np.zeros(0)

    def flat_weights(self) -> np.ndarray:
        """R in one row, in the order of `values`."""
        found = [np.ravel(w) for _, w in leaves("", self.weights) if w is not None]
        return np.concatenate(found).astype(np.float64) if found else np.zeros(0)

    def dys(self, weights: tuple | None = None) -> tuple:
        """What backward is given: copies of R, in the dtype and on the device of the outputs."""
        weights = self.weights if weights is None else weights
        return rebuild(weights, self.outputs)

    def analytic(self, weights: tuple | None = None) -> dict[str, Any]:
        """What the target's backward says of every variable: float64 copies, None where it gives nothing."""
        self.forward()
        arrays = [a for _, a in self.target.arrays()]
        before = [a.copy() for a in arrays]
        given = self.target.gradients(self.dys(weights))
        self.target.forget()
        found = {name: as_float64(given[name]) for name in self.variables if name in given}
        for array, old in zip(arrays, before, strict=True):
            if not same(array, old):  # backward wrote into it
                array[...] = old
        return found


def draw_like(y: Any, rng: np.random.Generator) -> Any:
    """Random weights for the output `y`: away from zero, of both signs. None where it cannot be differentiated."""
    if not is_float(y):
        return None
    if not is_array(y):
        return 1.0
    return np.asarray(rng.uniform(0.5, 1.5, y.shape) * rng.choice([-1.0, 1.0], y.shape))


def rebuild(weights: Any, ys: Any) -> Any:
    """`weights` as arrays like the outputs `ys`."""
    if isinstance(ys, (tuple, list)):
        values = [rebuild(w, y) for w, y in zip(weights, ys, strict=True)]
        return type(ys)(*values) if hasattr(ys, "_fields") else type(ys)(values)
    if isinstance(ys, dict):
        return {key: rebuild(weights[key], ys[key]) for key in ys}
    if isinstance(ys, np.floating) and weights is not None:
        return np.asarray(weights, dtype=ys.dtype)
    if weights is None or not is_array(ys):
        return weights
    return backend.array_module(ys).asarray(weights, dtype=ys.dtype).copy().reshape(ys.shape)


def as_float64(gradient: Any) -> Any:
    if gradient is None:
        return None
    try:
        array = backend.to_numpy(gradient) if is_array(gradient) else np.asarray(gradient)
    except ValueError:  # a ragged list
        array = np.asarray(str(type(gradient).__name__))
    return array.astype(np.float64) if array.dtype.kind in "fiub" else array.copy()


def alike(a: tuple, b: tuple) -> bool:
    """Bit for bit the same outputs, NaN equal to NaN."""
    pairs = zip(leaves("", a), leaves("", b), strict=True)
    for (_, x), (_, y) in pairs:
        if not is_array(x):
            if x != y and not (is_float(x) and x != x):
                return False
        elif x.shape != y.shape or not bool(((x == y) | ((x != x) & (y != y))).all()):
            return False
    return True
