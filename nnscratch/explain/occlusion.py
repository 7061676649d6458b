"""Occlusion: how much the score falls when one part of the input is replaced.

    a_g = v(all groups) - v(all groups except g)        v: see masking.py

Occlusion needs G + 1 forward passes and no gradient. If two parts carry the same information, one of them is enough for
the model, so both parts get 0. Shapley values do not have this fault, because they also remove parts together.

Reference: Zeiler and Fergus (2014), "Visualizing and understanding convolutional networks", arXiv:1311.2901, section
4.2.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import Array
from .masking import Value, explain_each
from .scores import Model, Target


def occlusion(model: Model, x: Array, target: Target, baseline: Any = None, groups: Any = None) -> Array:
    """Return, for each part of the input, how much the target's score falls if the baseline replaces this part.

    Parameters
    ----------
    model : Module or function
        A function takes x and returns scores of shape (N, C), (N, T, V) or (N,).
    x : array, shape (N, ...)
        Floats, or token ids of shape (N, T).
    target : int, integer array of shape (N,), or None
        The class, or the next token, whose score is explained. None if the model returns one number for each example.
    baseline : number or array, optional
        The values that replace a part. It broadcasts to the shape of x. The default is 0. For tokens: a token id, or an
        array of ids. By default, the vector 0 replaces the token's vector.
    groups : integer array, in the shape of one example, optional
        The number of the part to which each element belongs, from 0. The default is one part for each element. For
        images, see `patches`.

    Returns
    -------
    array, in the shape of x
        Every element has the attribution of its part.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> print(nn.explain.occlusion(lambda x: x[:, 0] + 2 * x[:, 1] * x[:, 2], np.array([[1.0, 2.0, 3.0]]), None))
    [[ 1. 12. 12.]]
    """

    def one(v: Value, G: int) -> np.ndarray:
        without = ~np.eye(G, dtype=bool)  # row g: all groups except g
        return v(np.ones((1, G), dtype=bool)) - v(without)

    return explain_each(model, x, target, baseline, groups, one)
