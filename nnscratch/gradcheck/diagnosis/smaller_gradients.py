"""Find the mistake in a gradient with fewer elements than its array, such as ``db = np.sum(dz)`` for three biases."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from .case import MAX_MISFIT, Case
from .reordered_axes import axes_in_words


def summed_to_fewer_elements(case: Case) -> None:
    """Test whether the gradient is the sum of the true gradient over some axes."""
    if case.found or not case.by_element or not np.isfinite(case.true).all() or case.given.size >= case.true.size:
        return
    long = [axis for axis, length in enumerate(case.shape) if length > 1]
    for where in (axes for count in range(1, len(long) + 1) for axes in combinations(long, count)):
        summed = np.sum(case.true, axis=where)
        size = np.abs(summed).max()
        if summed.size == case.given.size and size > 0:
            if np.abs(case.given.reshape(summed.shape) - summed).max() <= MAX_MISFIT * size:
                words = "all axes" if len(where) == len(long) else axes_in_words(where)
                case.add(0.66, "summed over the wrong axis", f"given is the sum of the true gradient over {words}")
                return
