"""Integrated gradients: the input minus a baseline, times the mean gradient on the line between the two.

    shapes      x, x0, a (N, ...)       s (N,)      K points, at alpha_k from 0 to 1, with weights w_k that sum to 1

    a = (x - x0) * mean of ds/dx along the straight line from x0 to x
      = (x - x0) * integral from 0 to 1 of ds/dx(x0 + alpha (x - x0)) dalpha
      ~ (x - x0) * sum over k of w_k ds/dx(x0 + alpha_k (x - x0))

    completeness        sum of a = s(x) - s(x0)

Completeness follows from the chain rule: the derivative of s(x0 + alpha (x - x0)) with respect to alpha is the sum of
ds/dx * (x - x0), and its integral from 0 to 1 is s(x) - s(x0). So the sum of the attributions is exactly the change
of the score from the baseline to the input. The sum over K points only approximates the integral. The difference that
remains, the gap, shows whether the points are dense enough.

In a network with ReLUs, ds/dx jumps where a unit switches. Equally spaced points need a large K for these jumps.
So the default is an adaptive sum. It cuts the line into segments, and uses Simpson's rule in each of them:

    integral from alpha_1 to alpha_2 ~ (alpha_2 - alpha_1) / 6 (ds/dx at alpha_1 + 4 at the middle + at alpha_2)

Completeness also holds for each segment: (x - x0) * (the integral over the segment) sums to the change of s from
alpha_1 to alpha_2. The scores at the two ends of a segment give this change exactly. So the gap of each segment is
known: the difference between this change and the sum from Simpson's rule. The segments with the largest gaps are cut
into halves, until the sum of all gaps of an example is small enough. Only the segments around a jump become short.

With a given number of `steps`, the points are those of Gauss-Legendre integration: the sum is exact if ds/dx is a
polynomial in alpha of degree below 2K.

For tokens, x is the array of the embedding vectors e. The attribution of a token is the sum over the features of its
vector.

References: Sundararajan, Taly and Yan (2017), "Axiomatic attribution for deep networks", arXiv:1703.01365; Lyness
(1969), "Notes on the adaptive Simpson quadrature routine", doi:10.1145/321526.321537.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import flag, positive_int
from ..module import Module
from .masking import target_row
from .scores import (
    ROWS,
    Target,
    baseline_of,
    check_input,
    check_target,
    features_of,
    per_input,
    score_gradients,
    scores,
)

SEGMENTS = 24  # the number of segments of the adaptive sum, at the start
MAX_POINTS = 3000  # the largest number of points of the adaptive sum, for each example
SHORTEST = 1e-6  # segments of this length are not cut: in float32, their ends are almost equal
TOLERANCE, RELATIVE_TOLERANCE = 1e-3, 1e-5  # the largest gap: absolute, and as a fraction of |s(x0)| + |s(x)|
LARGE_GAP = 0.05  # with `steps`: the largest gap without a warning, as a fraction of sum |a|

Line = Callable[[np.ndarray], tuple[np.ndarray, Array]]
"""It takes alphas (K,) and returns s (K,) and ds/dx (K, ...) at these points of the line."""


def integrated_gradients(
    model: Module, x: Array, target: Target, baseline: Any = None, steps: int | None = None, return_gap: bool = False
) -> Array | tuple[Array, Array]:
    """Return the integrated gradients of the target's score.

    Parameters
    ----------
    model : Module
        It computes as in ``eval()`` mode. The call does not change its parameters, their gradients or its mode.
    x : array, shape (N, ...)
        Floats, or token ids of shape (N, T) for a model with an Embedding.
    target : int, integer array of shape (N,), or None
        The class, or the next token, whose score is explained. None if the model returns one number for each example.
    baseline : number or array, optional
        The input without information, from which the path starts. It broadcasts to the shape of x. The default is 0.
        For tokens: a token id, or an array of ids. By default, the vector 0 replaces each token's vector.
    steps : int, optional
        K, the number of forward and backward passes for each example. By default, the function adds points until the
        gap is at most 0.001, or at most 0.00001 times ``|s(x0)| + |s(x)|`` if this is larger. In float16, the second
        limit is higher. This takes between 49 and 3,000 passes.
    return_gap : bool
        True to return the gap too.

    Returns
    -------
    attributions : array, in the shape of x
        For tokens: one number for each token.
    gap : array, shape (N,)
        Only with ``return_gap=True``: the sum of the attributions of each example minus (s(x) - s(x0)).

    Warns
    -----
    RuntimeWarning
        The gap of an example is too large. Without `steps`, the gap is above the limit that the description of `steps`
        gives. Either 3,000 passes are too few, or the score jumps on the line. With `steps`, the gap is above 5 % of
        the sum of ``|a|``.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> model = nn.models.MLP([3, 8, 2], rng=0)
    >>> x = np.array([[1.0, -2.0, 0.5]], dtype=np.float32)
    >>> a, gap = nn.explain.integrated_gradients(model, x, target=1, return_gap=True)
    >>> a.shape, bool(abs(gap[0]) < 1e-3)
    ((1, 3), True)
    """
    check_input(x)
    check_target(target, x)
    steps, return_gap = None if steps is None else positive_int("steps", steps), flag("return_gap", return_gap)
    features, x0 = features_of(model, x), baseline_of(model, x, baseline)
    end, start = scores(model, x, target, features), scores(model, x0 if features is x else x, target, x0)
    difference, rule, means = features - x0, None if steps is None else path(steps), []
    for n in range(len(x)):
        line = line_of(model, x[n : n + 1], target_row(target, n), x0[n], difference[n])
        means.append(adaptive_mean(line, difference[n]) if rule is None else gauss_mean(line, *rule))
    attributions = per_input(difference * backend.array_module(x).stack(means), x)
    flat, change = attributions.reshape(len(x), -1), end - start
    gap = flat.sum(axis=1) - change
    if steps is None:
        largest = largest_gap(backend.to_numpy(start), backend.to_numpy(end), x0.dtype)
        advice = f"Either {MAX_POINTS:,} passes are too few, or the score jumps on the line"
    else:
        largest, advice = LARGE_GAP * backend.to_numpy(abs(flat).sum(axis=1)) + 1e-6, f"Use more than {steps} steps"
    _warn_if_incomplete(abs(backend.to_numpy(gap)), backend.to_numpy(change), largest, advice)
    return (attributions, gap) if return_gap else attributions


def line_of(model: Module, x: Array, target: Target, x0: Array, difference: Array) -> Line:
    """Return the `Line` of one example: a function that computes s and ds/dx at points of the line from x0 to x.

    `x` is a batch of one example. `x0` and `difference` are arrays of features without the batch axis.
    """
    xp = backend.array_module(x)

    def at(alphas: np.ndarray) -> tuple[np.ndarray, Array]:
        s, g = [], []
        for first in range(0, len(alphas), ROWS):
            some = alphas[first : first + ROWS].reshape(-1, *[1] * x0.ndim).astype(x0.dtype)
            points = x0 + backend.to_device(some, backend.device_of(x)) * difference
            s_k, g_k = score_gradients(model, xp.concatenate([x] * len(some)), target, points)
            s.append(backend.to_numpy(s_k).astype(np.float64))
            g.append(g_k)
        return np.concatenate(s), xp.concatenate(g)

    return at


def path(steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the alpha_k and the w_k of the Gauss-Legendre rule on the interval from 0 to 1, each of shape (steps,)."""
    alphas, weights = np.polynomial.legendre.leggauss(steps)  # on the interval from -1 to 1
    return (alphas + 1) / 2, weights / 2


def gauss_mean(line: Line, alphas: np.ndarray, weights: np.ndarray) -> Array:
    """Return the mean of ds/dx along the line, from the points and weights of `path`."""
    return weighted_sum(weights, line(alphas)[1])


def adaptive_mean(line: Line, difference: Array) -> Array:
    """Return the mean of ds/dx along the line. Segments with a large gap are cut into halves."""
    xp = backend.array_module(difference)
    alphas = np.linspace(0, 1, 2 * SEGMENTS + 1)  # even indices: the ends of the segments; odd indices: their middles
    s, g = line(alphas)
    tolerance = float(largest_gap(s[0], s[-1], g.dtype)) / 2  # the other half is for rounding errors
    rounding = 8 * float(np.finfo(g.dtype).eps) * abs(s).max()  # a gap below this number comes from rounding
    while True:
        h = alphas[2::2] - alphas[:-2:2]
        slopes = backend.to_numpy((g * difference).reshape(len(g), -1).sum(axis=1)).astype(np.float64)  # ds/dalpha
        integrals = h / 6 * (slopes[:-2:2] + 4 * slopes[1::2] + slopes[2::2])
        gaps = abs(integrals - (s[2::2] - s[:-2:2]))
        halve = np.flatnonzero((gaps > max(tolerance / len(gaps), rounding)) & (h > SHORTEST))
        if gaps.sum() <= tolerance or not len(halve) or len(alphas) + 2 * len(halve) > MAX_POINTS:
            break
        left, middle, right = alphas[2 * halve], alphas[2 * halve + 1], alphas[2 * halve + 2]
        more = np.concatenate([(left + middle) / 2, (middle + right) / 2])
        more_s, more_g = line(more)
        alphas, s, g = np.concatenate([alphas, more]), np.concatenate([s, more_s]), xp.concatenate([g, more_g])
        order = np.argsort(alphas)
        alphas, s, g = alphas[order], s[order], g[backend.to_device(order, backend.device_of(g))]
    weights = np.zeros(len(alphas))
    for part, factor in ((slice(0, -2, 2), 1), (slice(1, None, 2), 4), (slice(2, None, 2), 1)):
        weights[part] += factor * h / 6
    return weighted_sum(weights, g)


def largest_gap(s0: Array, s: Array, dtype: np.dtype) -> np.ndarray:
    """Return the gap below which the adaptive sum ends. `s0` and `s` are the scores at the ends of the line."""
    relative = max(RELATIVE_TOLERANCE, 64 * float(np.finfo(dtype).eps))  # float16 has large rounding errors
    return np.maximum(TOLERANCE, relative * (abs(s0).astype(np.float64) + abs(s)))


def weighted_sum(weights: np.ndarray, g: Array) -> Array:
    """Return the sum over k of w_k g_k."""
    w = backend.to_device(weights.astype(g.dtype), backend.device_of(g))
    return (w @ g.reshape(len(g), -1)).reshape(g.shape[1:])


def _warn_if_incomplete(gap: np.ndarray, change: np.ndarray, largest: np.ndarray, advice: str) -> None:
    if (gap > largest).any():
        n = int(np.argmax(gap / largest))
        warnings.warn(
            f"integrated_gradients: the attributions of example {n} must sum to {change[n]:.4g}, the score of "
            f"the input minus the score of the baseline. Their sum differs from this by {gap[n]:.2g}. {advice}",
            RuntimeWarning,
            stacklevel=3,
        )
