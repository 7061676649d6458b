"""Sanity check: an explanation must change if the weights of the model become random.

    shapes      a, b (N, ...)       r (N,)

    a = explanation of the model
    b = explanation of a copy of the model in which the values of each weight are shuffled
    r = rank correlation of a and b, for each example

If r is near 1, the explanation does not depend on the learned weights. It may still look convincing, because it shows
the edges of the image or the rare words of the text. But it does not explain the model.

The shuffle puts the elements of each weight array in a random order, so the array still has the same values.

Reference: Adebayo, Gilmer, Muelly, Goodfellow, Hardt and Kim (2018), "Sanity checks for saliency maps",
arXiv:1810.03292.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import check_instance
from ..module import Module
from .agreement import rank_correlation
from .scores import Target


def sanity_check(
    model: Module,
    x: Array,
    target: Target,
    method: Callable[[Module, Array, Target], Array],
    rng: None | int | np.random.Generator = None,
) -> np.ndarray:
    """Return the similarity of the explanation to the explanation of a model with random weights.

    Parameters
    ----------
    model, x, target
        See `input_gradients`.
    method : function
        It takes model, x and target, and returns the attributions, such as `integrated_gradients`.
    rng : None, int or numpy.random.Generator
        The source of the random order, or its seed.

    Returns
    -------
    numpy array, shape (N,)
        For each example, the rank correlation of the two explanations. It is 1 if they rank the elements in the same
        order, so that the weights do not matter. It is about 0 if the explanation depends on the weights.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> model, x = nn.models.MLP([6, 8, 2], rng=0), np.random.default_rng(0).random((1, 6)).astype(np.float32)
    >>> print(nn.explain.sanity_check(model, x, 1, method=lambda model, x, target: x))      # ignores the model
    [1.]
    """
    check_instance("sanity_check", "model", model, Module)
    return rank_correlation(method(model, x, target), method(shuffled(model, rng), x, target))


def shuffled(model: Module, rng: None | int | np.random.Generator = None) -> Module:
    """Return a copy of the model in which the values of each parameter are in a random order."""
    rng, other = backend.generator(rng), copy.deepcopy(model)
    for parameter in other.parameters():
        values = rng.permutation(backend.to_numpy(parameter.data).reshape(-1)).reshape(parameter.shape)
        parameter.data[...] = backend.to_device(values, parameter.device)
    return other
