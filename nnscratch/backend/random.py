"""Random numbers."""

from __future__ import annotations

import numpy as np


def generator(rng: None | int | np.random.Generator) -> np.random.Generator:
    """The NumPy random generator meant by `rng`: a new one, one seeded by an int, or the very one given.

    All drawing is done by NumPy on the CPU, so that one seed gives the same numbers on every device.

    Raises
    ------
    TypeError
        `rng` is something else.
    """
    if rng is None or isinstance(rng, (int, np.integer)) and not isinstance(rng, bool) and rng >= 0:
        return np.random.default_rng(rng)
    if isinstance(rng, np.random.Generator):
        return rng
    raise TypeError(f"rng must be None, an int of 0 or more, or a numpy.random.Generator, got {rng!r}")
