"""Find the mistake in a gradient with fewer elements than its array, such as ``db = np.sum(dz)`` for three biases."""

from __future__ import annotations

import numpy as np

from .case import MAX_MISFIT, Case
from .reordered_axes import axes_in_words, axis_sets


def summed_to_fewer_elements(case: Case) -> None:
    """Test whether backward's gradient is the sum of the true gradient over some axes."""
    if case.found or case.given.size >= case.true.size:
        return
    for where in axis_sets(case.true.ndim):
        summed = np.sum(case.true, axis=where)
        if summed.size != case.given.size:
            continue
        off = np.abs(case.given.reshape(summed.shape) - summed).max()
        if off < MAX_MISFIT * np.abs(summed).max():  # False if elements of the true gradient are unknown
            words = "all axes" if summed.size == 1 else axes_in_words(where)
            case.add(0.66, "summed over the wrong axis", f"given is the sum of the true gradient over {words}")
            return
