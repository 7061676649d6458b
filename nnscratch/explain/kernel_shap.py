"""Kernel SHAP: Shapley values as the solution of a least-squares problem, from a sample of the sets of groups.

    shapes      phi (G,)        S: a set of groups, |S| = k, neither empty nor all

    minimise    sum over S of  pi(k) (v(S) - v(none) - sum of phi_g over g in S)^2       v: see masking.py
    subject to  sum of phi_g = v(all) - v(none)

    pi(k) = (G - 1) / (C(G, k) k (G - k))               C(G, k): the number of sets of size k

With all 2^G - 2 sets, the solution is exactly the Shapley values: docs/derivations/shapley.md proves it. Very small and
very large sets have the largest weights, because they show the effect of a single group.

To use fewer sets, draw them at random. First draw the size k, with a probability proportional to C(G, k) pi(k), that
is, to 1 / (k (G - k)). Then draw k of the G groups. The probabilities replace the weights, so all drawn sets have the
same weight. Each set is drawn together with its complement, which reduces the variance.

To satisfy the constraint, replace phi_G by v(all) - v(none) - the sum of the other phi_g.

References
----------
Lundberg and Lee (2017), "A unified approach to interpreting model predictions", arXiv:1705.07874. Covert and Lee
(2021), "Improving KernelSHAP: practical Shapley value estimation via linear regression", arXiv:2012.01536: the
complements.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import positive_int
from .masking import Value, explain_each
from .scores import Model, Target
from .shapley import all_sets


def kernel_shap(
    model: Model,
    x: Array,
    target: Target,
    baseline: Any = None,
    groups: Any = None,
    samples: int = 1000,
    rng: None | int | np.random.Generator = None,
) -> Array:
    """Return the Shapley values of the parts of the input, or estimate them from a sample of the sets of parts.

    Parameters
    ----------
    model, x, target, baseline, groups
        See `occlusion`.
    samples : int
        The number of sets, and of forward passes, for each example. If there are at most this many sets, all sets
        are used, and the result is exact.
    rng : None, int or numpy.random.Generator
        The source of the sample, or its seed.

    Returns
    -------
    array, in the shape of x
        Every element has the attribution of its group.

    Warns
    -----
    RuntimeWarning
        There are too few samples for the number of groups: different values fit the samples equally well.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> x = np.array([[1.0, 2.0, 3.0]])
    >>> print(nn.explain.kernel_shap(lambda x: x[:, 0] + 2 * x[:, 1] * x[:, 2], x, None).round(6))
    [[1. 6. 6.]]
    """
    samples, rng = positive_int("samples", samples), backend.generator(rng)

    def one(v: Value, G: int) -> np.ndarray:
        none, everything = v(np.array([[False] * G, [True] * G]))
        if G == 1:
            return np.array([everything - none])
        if 2**G - 2 <= samples:
            sets = all_sets(G)[1:-1]
            weights = shapley_kernel(G)[sets.sum(axis=1)]
        else:
            sets = drawn_sets(G, samples, rng)
            weights = np.ones(len(sets))
        return solve(sets.astype(float), v(sets) - none, weights, everything - none)

    return explain_each(model, x, target, baseline, groups, one)


def shapley_kernel(G: int) -> np.ndarray:
    """Return pi(k) for k = 0..G. The first and the last are 0, because no set S has 0 or G groups."""
    pi = [(G - 1) / (math.comb(G, k) * k * (G - k)) for k in range(1, G)]
    return np.array([0.0, *pi, 0.0])


def drawn_sets(G: int, samples: int, rng: np.random.Generator) -> np.ndarray:
    """Return about `samples` random masks, shape (M, G). A size k has a probability proportional to C(G, k) pi(k)."""
    k = np.arange(1, G)
    p = 1 / (k * (G - k))
    sizes = rng.choice(k, size=-(-samples // 2), p=p / p.sum())
    order = rng.random((len(sizes), G)).argsort(axis=1).argsort(axis=1)  # a random rank for each group
    sets = order < sizes[:, None]
    return np.concatenate([sets, ~sets])


def solve(m: np.ndarray, y: np.ndarray, weights: np.ndarray, total: float) -> np.ndarray:
    """Return phi. It minimises the weighted sum of the squares of ``y - m phi``, and its elements sum to `total`."""
    # Replace phi_G by total - (the sum of the others). Then y - m_G total = (m_others - m_G) phi_others must hold.
    root = np.sqrt(weights)
    A = (m[:, :-1] - m[:, -1:]) * root[:, None]  # (M, G-1)
    others, _, rank, _ = np.linalg.lstsq(A, (y - m[:, -1] * total) * root, rcond=None)
    if rank < A.shape[1]:
        warnings.warn(
            f"kernel_shap: {len(m)} sets do not determine the values of {m.shape[1]} groups: use more samples, or "
            f"fewer groups",
            RuntimeWarning,
            stacklevel=5,
        )
    return np.append(others, total - others.sum())
