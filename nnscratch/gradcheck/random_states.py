"""RandomStates: the states of the random number generators that forward may draw from."""

from __future__ import annotations

import random
from typing import Any

import numpy as np


class RandomStates:
    """The states of `generators` and of two global generators: those of numpy.random and random.

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
        own = zip(self.generators, self._states, strict=True)
        return any(not equal_states(self._state(g), s) for g, s in own) or self._numpy_drew() or self._python_drew()

    def _numpy_drew(self) -> bool:
        """Return True if the state of NumPy's global generator has changed.

        Both global generators are Mersenne twisters. A draw moves the position in a table of 624 words. At the end of
        the table, the generator replaces all words. So every draw changes the position or the first word. A new seed
        does not always change the first word, but it always changes the second word.
        """
        now, old = np.random.get_state(), self._numpy  # noqa: NPY002
        return now[0] != old[0] or tuple(now[1][:2]) != tuple(old[1][:2]) or now[2:] != old[2:]

    def _python_drew(self) -> bool:
        (_, table, gauss), (_, old_table, old_gauss) = random.getstate(), self._python
        return table[-1] != old_table[-1] or table[:2] != old_table[:2] or gauss != old_gauss

    def replay(self) -> None:
        """Restore the state of every generator, so that it draws the same numbers again."""
        for generator, state in zip(self.generators, self._states, strict=True):
            if isinstance(generator, np.random.Generator):
                generator.bit_generator.state = state
            else:
                generator.set_state(state)
        if self._numpy_drew():  # comparing two states is faster than setting a state
            np.random.set_state(self._numpy)  # noqa: NPY002
        if self._python_drew():
            random.setstate(self._python)


def equal_states(a: Any, b: Any) -> bool:
    """Return True for equal nested structures of numbers, strings and arrays."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal_states(a[key], b[key]) for key in a)
    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(equal_states(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, np.ndarray):
        return bool(np.array_equal(a, b))
    return a == b
