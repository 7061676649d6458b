"""RandomStates: the states of the random number generators that forward may draw from."""

from __future__ import annotations

import random
from typing import Any

import numpy as np


class RandomStates:
    """The states of `generators` and of two global generators: NumPy's and Python's.

    Students' code often draws from the global generators.

    Parameters
    ----------
    generators : list of numpy.random.Generator or RandomState
    """

    def __init__(self, generators: list[Any]):
        self.generators = list(generators)
        self._states = [self._state(g) for g in self.generators]
        self._numpy = np.random.get_state()  # noqa: NPY002
        self._python = random.getstate()

    @staticmethod
    def _state(generator: Any) -> Any:
        return generator.bit_generator.state if isinstance(generator, np.random.Generator) else generator.get_state()

    def advanced(self) -> bool:
        """Return True if a number has been drawn since this object was created."""
        return (
            any(not equal_states(self._state(g), s) for g, s in zip(self.generators, self._states, strict=True))
            or not equal_states(np.random.get_state(), self._numpy)  # noqa: NPY002
            or random.getstate() != self._python
        )

    def replay(self) -> None:
        """Set every generator back, so that it draws the same numbers again."""
        for generator, state in zip(self.generators, self._states, strict=True):
            if isinstance(generator, np.random.Generator):
                generator.bit_generator.state = state
            else:
                generator.set_state(state)
        if not equal_states(np.random.get_state(), self._numpy):  # noqa: NPY002 comparing is faster than setting
            np.random.set_state(self._numpy)  # noqa: NPY002
        if random.getstate() != self._python:
            random.setstate(self._python)


def equal_states(a: Any, b: Any) -> bool:
    """Return True for equal nests of numbers, strings and arrays."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal_states(a[key], b[key]) for key in a)
    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(equal_states(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, np.ndarray):
        return bool(np.array_equal(a, b))
    return a == b
