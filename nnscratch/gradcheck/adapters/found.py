"""FoundParametersAdapter: an adapter with additional parameters that pairing.py has found in the code's objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..nested import is_array
from ..places import put_at, value_at
from ..snapshot import Steps
from .base import Adapter, clear_gradient

NOT_THERE = (LookupError, AttributeError, TypeError, ValueError)


@dataclass
class FoundParameter:
    """An array that forward reads, with the path to the array and the paths to its gradient.

    Attributes
    ----------
    name : str
    steps : Steps
        The path to the array in the user's objects, such as ``self.fc1.W``, as a tuple of steps: see places.py.
    gradients : list of (Steps, bool)
        The path to the array's gradient, and True if the gradient must be transposed. If backward returns this
        gradient, and does not store it in an object, the first step is ``("returned", None)``. Forward may use an array
        several times, for example a shared embedding, and the code may store one gradient for each use. For such an
        array, the list has several paths, and the adapter adds the gradients.
    number : bool
        True if the path leads to integers, a Python number or a read-only array. The check replaces this value by a
        float64 array that it can change.
    """

    name: str
    steps: Steps
    gradients: list[tuple[Steps, bool]]
    number: bool = False


class FoundParametersAdapter(Adapter):
    """An adapter with the parameters of another adapter, `inner`, and the additional parameters `found`.

    Parameters
    ----------
    inner : Adapter
    found : sequence of FoundParameter
    """

    def __init__(self, inner: Adapter, found: Sequence[FoundParameter]):
        self.inner, self.found = inner, list(found)
        self.source, self.title, self.input_names, self.notes = (
            inner.source,
            inner.title,
            inner.input_names,
            inner.notes,
        )
        self.loss = inner.loss

    @property
    def inputs(self) -> tuple:
        """The inputs of `inner`."""
        return self.inner.inputs

    @inputs.setter
    def inputs(self, inputs: tuple) -> None:
        self.inner.inputs = inputs

    @property
    def targets(self) -> tuple:
        """The targets of `inner`."""
        return self.inner.targets

    @targets.setter
    def targets(self, targets: tuple) -> None:
        self.inner.targets = targets

    @property
    def cache(self) -> Any:
        """The cache of `inner`."""
        return self.inner.cache

    @cache.setter
    def cache(self, cache: Any) -> None:
        self.inner.cache = cache

    @property
    def surplus(self) -> Any:
        """The gradients from backward that belong to no input."""
        return self.inner.surplus

    @property
    def missing(self) -> Any:
        """The inputs that have a usual name of a weight, but no gradient from backward."""
        return self.inner.missing

    @property
    def container(self) -> str:
        """The form in which backward returned its gradients: see `Adapter.container`."""
        return self.inner.container

    @property
    def is_loss(self) -> bool:
        """True if backward returns the derivatives of one loss for each element: see `Adapter.is_loss`."""
        return self.inner.is_loss

    @property
    def left_out(self) -> tuple:
        """The outputs of the latest forward that are not checked."""
        return self.inner.left_out

    @property
    def returns_cache(self) -> bool:
        """True if the forward of `inner` returns its cache."""
        return self.inner.returns_cache

    def returned_names(self) -> list[str]:
        return self.inner.returned_names()

    def prepare(self) -> None:
        """Replace integers, Python numbers and read-only arrays by float64 arrays that the checker can change."""
        for p in self.found:
            if p.number:
                put_at([self.source], p.steps, np.array(value_at([self.source], p.steps), dtype=np.float64))

    def run(self) -> tuple:
        return self.inner.run()

    def gradients(self, dys: tuple) -> dict[str, Any]:
        arrays = self.arrays()
        for p in self.found:
            for steps, _ in p.gradients:
                clear_gradient(self._gradient_at(steps) if steps[0][0] != "returned" else None, arrays)
        given = self.inner.gradients(dys)
        own = {p.name: self._gradient(p) for p in self.found}
        if any(g is not None for g in own.values()):
            # The first layer of a network may return None, because nothing needs the gradient of its input.
            parameters = self.inner.parameters()
            inputs = [name for name in given if name not in parameters]
            if all(given[name] is None for name in inputs):
                given = {name: g for name, g in given.items() if name in parameters}
        return {**own, **given}

    def _gradient(self, p: FoundParameter) -> Any:
        parts: dict[int, Any] = {}
        for steps, transposed in p.gradients:
            gradient = self._gradient_at(steps)
            if gradient is not None:
                parts[id(gradient)] = gradient.T if transposed else gradient
        first, *rest = parts.values() or [None]
        return sum(rest, first) if rest else first

    def _gradient_at(self, steps: Steps) -> Any:
        try:
            if steps[0][0] == "returned":
                return value_at(self.inner.surplus, steps[1:])
            return value_at([self.source], steps)
        except NOT_THERE:
            return None

    def parameters(self) -> dict[str, Any]:
        own = {name: a for name, a in self.complex_parameters().items() if is_array(a) and a.dtype.kind == "f"}
        return {**self.inner.parameters(), **own}

    def complex_parameters(self) -> dict[str, Any]:
        found = dict(self.inner.complex_parameters())
        for p in self.found:
            try:
                value = value_at([self.source], p.steps)
            except NOT_THERE:
                continue
            if is_array(value):
                found[p.name] = value
        return found

    def cached(self) -> Any:
        return self.inner.cached()
