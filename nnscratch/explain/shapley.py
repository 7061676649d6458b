"""Shapley values: the mean contribution of each part of the input, over all orders in which the parts can be added.

    shapes      phi (G,)        S: one of the 2^(G-1) sets of groups without g

    phi_g = sum over S of  |S|! (G - |S| - 1)! / G!  (v(S and g) - v(S))            v: see masking.py

The weight is the fraction of the G! orders in which the groups before g are exactly the groups of S. Shapley proved
that only these numbers have all of these four properties:

- The phi_g sum to v(all) - v(none).
- Two groups that always change v by the same amount get the same number.
- A group that never changes v gets 0.
- If v is the sum of two functions, each phi_g is the sum of the phi_g of these two functions.

This file computes v for all 2^G sets, so G must be small. `kernel_shap` estimates the same numbers for a larger G.

References
----------
Shapley (1953), "A value for n-person games", doi:10.1515/9781400881970-018. Strumbelj and Kononenko (2010), "An
efficient explanation of individual classifications using game theory",
https://www.jmlr.org/papers/v11/strumbelj10a.html.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backend import Array
from .masking import Value, explain_each
from .scores import Model, Target

MAX_GROUPS = 16  # with 16 groups, an example needs 65,536 forward passes


def shapley_values(model: Model, x: Array, target: Target, baseline: Any = None, groups: Any = None) -> Array:
    """Return the exact Shapley values of the parts of the input, by enumeration of all sets of parts.

    Parameters
    ----------
    model, x, target, baseline, groups
        See `occlusion`. There may be at most 16 groups.

    Returns
    -------
    array, in the shape of x
        Every element has the attribution of its group.

    Raises
    ------
    ValueError
        There are more than 16 groups, or an argument is wrong.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> print(nn.explain.shapley_values(lambda x: x[:, 0] + 2 * x[:, 1] * x[:, 2], np.array([[1.0, 2.0, 3.0]]), None))
    [[1. 6. 6.]]
    """
    return explain_each(model, x, target, baseline, groups, exact_values)


def exact_values(v: Value, G: int) -> np.ndarray:
    """Return phi, the Shapley value of each group, shape (G,)."""
    if G > MAX_GROUPS:
        raise ValueError(
            f"shapley_values tries all sets of groups, so it accepts at most {MAX_GROUPS} groups, got {G}: use "
            f"larger groups, or kernel_shap"
        )
    sets = all_sets(G)  # (2^G, G)
    values, sizes = v(sets), sets.sum(axis=1)
    weights = np.array([math.factorial(k) * math.factorial(G - k - 1) / math.factorial(G) for k in range(G)])
    phi = np.empty(G)
    for g in range(G):
        S = np.flatnonzero(~sets[:, g])  # the rows of all sets without g
        phi[g] = (weights[sizes[S]] * (values[S + 2**g] - values[S])).sum()  # row S + 2^g: the set S and g
    return phi


def all_sets(G: int) -> np.ndarray:
    """Return all 2^G masks. In row k, group g is present if bit g of k is 1."""
    return (np.arange(2**G)[:, None] >> np.arange(G) & 1).astype(bool)
