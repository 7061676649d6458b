"""Projections of small functions, and their differences: inputs for tests of the parts of the gradient checker."""

import numpy as np

from nnscratch.gradcheck.adapters import make_adapter
from nnscratch.gradcheck.differences import Differences
from nnscratch.gradcheck.projection import Projection


def project(forward, backward, *inputs, weights=None):
    """Return the projection of ``forward(*inputs)`` and ``backward(dy, *inputs)``, with these weights of the output."""
    arrays = tuple(np.array(x, dtype=float) if isinstance(x, list) else x for x in inputs)
    projection = Projection(make_adapter((forward, backward), arrays), np.random.default_rng(0))
    if weights is not None:
        projection.weights = (np.array(weights, dtype=float),)
    return projection


def differences_of(forward, *inputs, weights=None, itemsize=8, rtol=None, backward=None):
    """Return the differences of a projection. Without ``backward``, no test may call it."""
    backward = backward or (lambda dy, *inputs: inputs)
    return Differences(project(forward, backward, *inputs, weights=weights), itemsize, rtol)
