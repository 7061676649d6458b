"""Deletion and insertion: replace the elements with the largest attributions first. Does the score change early?

    shapes      a (N, ...): an explanation of x         c (N, K + 1)

    Sort the elements of x by a, the largest first.
    deletion    c_k = s of x with the first k/K of the elements replaced by the baseline        k = 0..K
    insertion   c_k = s of the baseline with the first k/K of the elements of x

If the explanation a is right, the score falls early in deletion, and rises early in insertion. The mean of c over k/K,
by the trapezoid rule, is the area under the curve. A good explanation has a small area for deletion, and a large area
for insertion.

Both curves have the same weakness. Inputs with replaced parts are unlike the training data, so the model's scores for
them are not reliable. So compare the areas with those of a random order, and never with those of another model.

Reference: Petsiuk, Das and Saenko (2018), "RISE: randomized input sampling for explanation of black-box models",
arXiv:1806.07421.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import positive_int
from .masking import baseline_row, target_row, value_function
from .scores import Model, Target, check_input, check_target


def deletion_curve(
    model: Model, x: Array, target: Target, attributions: Array, baseline: Any = None, steps: int = 20
) -> np.ndarray:
    """Return the score of x, and the score after each of K steps that replace elements of x by the baseline.

    The first step replaces the elements with the largest attributions, and the last step replaces the elements with the
    smallest attributions.

    Parameters
    ----------
    model, x, target, baseline
        See `occlusion`.
    attributions : array, in the shape of x
        The explanation to measure.
    steps : int
        The number of steps, K.

    Returns
    -------
    numpy array, shape (N, K + 1)
        From the score of x to the score of the baseline.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> x = np.array([[1.0, 2.0, 3.0, 4.0]])
    >>> print(nn.explain.deletion_curve(lambda x: x.sum(axis=1), x, None, attributions=x, steps=4))
    [[10.  6.  3.  1.  0.]]
    """
    return _curve(model, x, target, attributions, baseline, steps, insert=False)


def insertion_curve(
    model: Model, x: Array, target: Target, attributions: Array, baseline: Any = None, steps: int = 20
) -> np.ndarray:
    """Return the score of the baseline, and the score after each of K steps that copy elements of x into it.

    The first step copies the elements with the largest attributions, and the last step copies the elements with the
    smallest attributions. The arguments are those of `deletion_curve`.

    Returns
    -------
    numpy array, shape (N, K + 1)
        From the score of the baseline to the score of x.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> x = np.array([[1.0, 2.0, 3.0, 4.0]])
    >>> print(nn.explain.insertion_curve(lambda x: x.sum(axis=1), x, None, attributions=x, steps=4))
    [[ 0.  4.  7.  9. 10.]]
    """
    return _curve(model, x, target, attributions, baseline, steps, insert=True)


def area(curves: np.ndarray) -> np.ndarray:
    """Return the area under each of N curves. A curve has K + 1 values, at k/K from 0 to 1."""
    return np.trapezoid(curves, dx=1 / (curves.shape[1] - 1), axis=1)


def _curve(
    model: Model, x: Array, target: Target, attributions: Array, baseline: Any, steps: int, insert: bool
) -> np.ndarray:
    check_input(x)
    check_target(target, x)
    a = backend.to_numpy(attributions)
    if a.shape != x.shape or not np.isfinite(a).all():
        raise ValueError(f"attributions must be finite numbers in the shape of x, {x.shape}, got {a.shape}")
    steps, shape = positive_int("steps", steps), x.shape[1:]
    places = np.arange(a[0].size).reshape(shape)
    first = np.round(np.arange(steps + 1) / steps * places.size)  # the number of elements changed after each step
    curves = []
    for n in range(len(x)):
        rank = np.argsort(np.argsort(-a[n], axis=None, kind="stable"))  # rank 0: the largest attribution
        masks = (rank < first[:, None]) == insert  # (K + 1, size)
        v = value_function(model, x[n : n + 1], target_row(target, n), baseline_row(baseline, x, n), places)
        curves.append(v(masks))
    return np.stack(curves)
