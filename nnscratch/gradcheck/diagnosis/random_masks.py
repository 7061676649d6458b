"""Distinguish a random mask, such as dropout's, from a mask that comes from data, such as labels of 0 and 1."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..learned_names import words_of
from ..nested import is_array, leaves, to_numpy
from ..projection import Projection

OF_DROPOUT = frozenset("dropout drop mask keep prob".split())


def is_random_mask(projection: Projection, mask: Any, name: str = "") -> bool:
    """Return True if `mask` seems to be drawn at random.

    `name` is the name of the mask in the user's code. If this name contains a word such as "dropout", return True.
    Otherwise, compare the mask with the arrays that existed before forward: inputs, targets and attributes. If one of
    these arrays has zeros at the same positions, return False.
    """
    if set(words_of(name)) & OF_DROPOUT:
        return True
    chosen, adapter = np.asarray(mask) != 0, projection.adapter
    given = [a for x in adapter.inputs for _, a in leaves("", x)] + list(adapter.targets)
    for array in [a for a in given + projection.constant_arrays() if is_array(a)]:
        values = np.asarray(to_numpy(array))
        if values.size > 1 and values.dtype.kind in "fiub" and values.size == chosen.size:
            for pattern in (values != 0, values > 0):
                same = pattern.ravel() == chosen.ravel()
                if same.all() or not same.any():
                    return False
    return True
