"""Input gradients: how fast the score changes with each number of the input.

    shapes      x, g (N, ...)       s (N,)

For images and tables, g = ds/dx. For tokens, g_t = |ds/de_t|: the length of the gradient with respect to the vector e_t
of token t.

Where |g| is large, a small change of the input changes the score a lot. But |g| is not the contribution of the input to
the score: the gradient of w x is w, even if x is 0. A picture of |g| for an image is called a saliency map.

Reference: Simonyan, Vedaldi and Zisserman (2014), "Deep inside convolutional networks: visualising image classification
models and saliency maps", arXiv:1312.6034.
"""

from __future__ import annotations

from ..backend import Array, array_module
from ..module import Module
from .scores import Target, is_tokens, score_gradients


def input_gradients(model: Module, x: Array, target: Target) -> Array:
    """Return the gradient of the target's score with respect to the input.

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
        For tokens: the length of each token's gradient.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> model = nn.Linear(3, 2, rng=0)
    >>> x = np.ones((1, 3), dtype=np.float32)
    >>> bool((nn.explain.input_gradients(model, x, target=1) == model.weight.data[1]).all())
    True
    """
    _, g = score_gradients(model, x, target)
    return lengths(g) if is_tokens(x) else g


def lengths(g: Array) -> Array:
    """Return the length of each vector g_t: (N, T, D) -> (N, T)."""
    return array_module(g).sqrt((g * g).sum(axis=-1))
