"""Integrated gradients: the gradient times the input, with the mean gradient on the way from a baseline to the input.

    shapes      x, x0, a (N, ...)       s (N,)      K steps, at alpha_k in (0, 1) with weights w_k that sum to 1

    a = (x - x0) * mean of ds/dx along the straight line from x0 to x
      = (x - x0) * integral from 0 to 1 of ds/dx(x0 + alpha (x - x0)) dalpha
      ~ (x - x0) * sum over k of w_k ds/dx(x0 + alpha_k (x - x0))

    completeness        sum of a = s(x) - s(x0)

Completeness follows from the chain rule: the derivative of s(x0 + alpha (x - x0)) with respect to alpha is the sum of
ds/dx * (x - x0), and its integral from 0 to 1 is s(x) - s(x0). So the attributions divide exactly the change of the
score between the baseline and the input. The sum over K steps only approximates the integral. The difference that
remains, the gap, shows whether K is large enough.

The steps are the points of Gauss-Legendre integration: the sum is exact if ds/dx is a polynomial in alpha of degree
below 2K.

For tokens, x is the embedding vectors e. The attribution of a token is the sum over the features of its vector.

Reference: Sundararajan, Taly and Yan (2017), "Axiomatic attribution for deep networks".
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import flag, positive_int
from ..module import Module
from .scores import Target, baseline_of, check_input, features_of, gradients_at, per_input, scores

LARGE_GAP = 0.05  # the largest gap without a warning, as a fraction of sum |a|


def integrated_gradients(
    model: Module, x: Array, target: Target, baseline: Any = None, steps: int = 50, return_gap: bool = False
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
        For tokens: a token id, or an array of ids. The default is the vector 0 instead of each token's vector.
    steps : int
        K. It takes K forward and K backward passes.
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
        The gap of an example is larger than 5 % of the sum of ``|a|``: `steps` is too small.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> model = nn.models.MLP([3, 8, 2], activation=nn.Tanh, rng=0)
    >>> x = np.array([[1.0, -2.0, 0.5]], dtype=np.float32)
    >>> a, gap = nn.explain.integrated_gradients(model, x, target=1, return_gap=True)
    >>> a.shape, bool(abs(gap[0]) < 1e-5)
    ((1, 3), True)
    """
    check_input(x)
    steps, return_gap = positive_int("steps", steps), flag("return_gap", return_gap)
    features, x0 = features_of(model, x), baseline_of(model, x, baseline)
    difference, (alphas, weights) = features - x0, path(steps)
    points = (x0 + alpha * difference for alpha in alphas.tolist())
    gradients = gradients_at(model, x, target, points)
    mean = sum(w * g for w, g in zip(weights.tolist(), gradients, strict=True))
    attributions = per_input(difference * mean, x)
    change = scores(model, x, target, features) - scores(model, x0 if features is x else x, target, x0)
    gap = attributions.reshape(len(x), -1).sum(axis=1) - change
    _warn_if_incomplete(attributions, gap, steps)
    return (attributions, gap) if return_gap else attributions


def path(steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the alpha_k and the w_k of the Gauss-Legendre rule on the interval from 0 to 1, each of shape (steps,)."""
    alphas, weights = np.polynomial.legendre.leggauss(steps)  # on the interval from -1 to 1
    return (alphas + 1) / 2, weights / 2


def _warn_if_incomplete(attributions: Array, gap: Array, steps: int) -> None:
    a, gap = backend.to_numpy(attributions), abs(backend.to_numpy(gap))
    size = abs(a).reshape(len(a), -1).sum(axis=1)
    if (gap > LARGE_GAP * size + 1e-6).any():
        n = int(np.argmax(gap / (size + 1e-6)))
        warnings.warn(
            f"integrated_gradients: the attributions of example {n} miss the difference of the two scores by "
            f"{gap[n]:.3g}, and the sum of their sizes is {size[n]:.3g}. Use more than {steps} steps",
            RuntimeWarning,
            stacklevel=3,
        )
