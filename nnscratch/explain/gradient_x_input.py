"""Gradient x input: how much each input would contribute to the score if the score were linear.

    shapes      x, a (N, ...)       s (N,)

    images and tables       a = ds/dx * x
    tokens                  a_t = ds/de_t . e_t             a scalar product over the D features of token t

If s = w . x, then a_i = w_i x_i, and the a_i sum to s exactly. For a network, the sum is the first-order estimate of
s(x) - s(0), with the slope at x. Where a ReLU or a sigmoid is flat at x, this slope is about 0 even if the input
matters. `integrated_gradients` uses the slopes along the whole path from 0 to x instead.

Reference: Shrikumar, Greenside, Shcherbina and Kundaje (2016), "Not just a black box: learning important features
through propagating activation differences", arXiv:1605.01713.
"""

from __future__ import annotations

from ..backend import Array
from ..module import Module
from .scores import Target, check_input, features_of, per_input, score_gradients


def gradient_x_input(model: Module, x: Array, target: Target) -> Array:
    """Return the gradient of the target's score times the input.

    Parameters
    ----------
    model : Module
        It computes as in ``eval()`` mode. The call does not change its parameters, their gradients or its mode.
    x : array, shape (N, ...)
        Floats, or token ids of shape (N, T) for a model with an Embedding.
    target : int, integer array of shape (N,), or None
        The class, or the next token, whose score is explained. None if the model returns one number for each example.

    Returns
    -------
    array, in the shape of x
        For tokens: one number for each token, the sum over the features of its vector.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> model = nn.models.LanguageModel(vocab_size=10, embed_size=4, hidden_size=8, rng=0)
    >>> nn.explain.gradient_x_input(model, np.array([[1, 2, 3]]), target=7).shape
    (1, 3)
    """
    check_input(x)
    features = features_of(model, x)
    _, g = score_gradients(model, x, target, features)
    return per_input(g * features, x)
