"""Agreement: do two explanations put the inputs of an example into the same order?

    shapes      a, b (N, ...)       r (N,)

    rank of a_i     the number of a_j below a_i, plus half of the number of other a_j that are equal to a_i
    r               the correlation of the ranks of a and b, for each example: -1 to 1         (Spearman)

The methods define different quantities, so there is no reason why their numbers should be equal. But if two methods
name different inputs as the most important ones, at least one of them does not answer your question.

References
----------
Spearman (1904), "The proof and measurement of association between two things", doi:10.2307/1412159. Krishna et al.
(2022), "The disagreement problem in explainable machine learning", arXiv:2202.01602.
"""

from __future__ import annotations

import numpy as np

from .. import backend
from ..backend import Array


def rank_correlation(a: Array, b: Array) -> np.ndarray:
    """Return the rank correlation of two explanations, for each example.

    Parameters
    ----------
    a, b : array, shape (N, ...)

    Returns
    -------
    numpy array, shape (N,)
        From -1, the opposite order, to 1, the same order. 0 if all numbers of an explanation are equal.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> a = np.array([[1.0, 2.0, 3.0]])
    >>> print(nn.explain.rank_correlation(a, a**3), nn.explain.rank_correlation(a, -a))
    [1.] [-1.]
    """
    a, b = backend.to_numpy(a), backend.to_numpy(b)
    if a.shape != b.shape or a.ndim < 2 or a.size == 0:
        raise ValueError(f"the two explanations must have the same shape (N, ...), got {a.shape} and {b.shape}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("an explanation must be finite, got NaN or infinity, which have no rank")
    found = []
    for row_a, row_b in zip(a.reshape(len(a), -1), b.reshape(len(b), -1), strict=True):
        ra, rb = (r - r.mean() for r in (ranks(row_a), ranks(row_b)))
        size = np.sqrt((ra @ ra) * (rb @ rb))
        found.append(ra @ rb / size if size > 0 else 0.0)
    return np.array(found)


def ranks(a: np.ndarray) -> np.ndarray:
    """Return the rank of each number in an array of shape (D,). Equal numbers get the mean of their ranks."""
    _, which, counts = np.unique(a, return_inverse=True, return_counts=True)
    below = np.cumsum(counts) - counts
    return (below + (counts - 1) / 2)[which]
