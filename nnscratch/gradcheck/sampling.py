"""Choose the elements of an array that a check with ``mode="sampled"`` compares."""

from __future__ import annotations

from typing import Any

import numpy as np

from .nested import to_numpy


def sample_indices(array: Any, analytic: np.ndarray, count: int, rng: np.random.Generator) -> list[tuple]:
    """Return the indices of `count` elements, or of all elements if there are fewer.

    Choose the elements with the largest and the smallest values and gradients, the first and the last element, and
    random elements.
    """
    if array.size <= count:
        return list(np.ndindex(array.shape))
    values = to_numpy(array)
    picked = [
        np.abs(analytic).argmax(),
        np.abs(analytic).argmin(),
        analytic.argmax(),
        analytic.argmin(),
        values.argmax(),
        values.argmin(),
        np.abs(values).argmin(),
        0,
        array.size - 1,
    ]
    unique = list(dict.fromkeys(int(i) for i in picked))[:count]
    rest = np.setdiff1d(np.arange(array.size), unique)
    unique += [int(i) for i in rng.choice(rest, count - len(unique), replace=False)]
    return [tuple(int(i) for i in np.unravel_index(i, array.shape)) for i in unique]
