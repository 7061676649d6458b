"""SmoothGrad: the mean of the input gradients at several noisy copies of the input.

    shapes      x, n_k, g (N, ...)      K samples

    n_k ~ Normal(0, sigma^2)        sigma = noise * (max x - min x), for each example
    g   = 1/K sum over k of ds/dx(x + n_k)

For tokens, x is the array of the embedding vectors e. The result is the length of the mean gradient of each token.

The gradient of a deep network with ReLUs changes abruptly from one point to the next, so a picture of it looks like
noise. The mean over a neighbourhood of x changes slowly. It is the gradient of a smoother function: the mean of
s(x + n) over the noise n.

Reference: Smilkov, Thorat, Kim, Viegas and Wattenberg (2017), "SmoothGrad: removing noise by adding noise",
arXiv:1706.03825.
"""

from __future__ import annotations

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import not_negative, positive_int
from ..module import Module
from .input_gradients import lengths
from .scores import Target, check_input, features_of, gradients_at, is_tokens


def smooth_grad(
    model: Module,
    x: Array,
    target: Target,
    samples: int = 50,
    noise: float = 0.1,
    rng: None | int | np.random.Generator = None,
) -> Array:
    """Return the gradient of the target's score, averaged over noisy copies of the input.

    Parameters
    ----------
    model, x, target
        See `input_gradients`.
    samples : int
        K, the number of noisy copies. Each copy needs a forward and a backward pass.
    noise : float
        The standard deviation of the noise, as a fraction of the range of the example's values.
    rng : None, int or numpy.random.Generator
        The source of the noise, or its seed.

    Returns
    -------
    array, in the shape of x
        For tokens: the length of each token's mean gradient.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> model = nn.models.MLP([3, 8, 2], rng=0)
    >>> nn.explain.smooth_grad(model, np.ones((1, 3), dtype=np.float32), target=1, samples=10, rng=0).shape
    (1, 3)
    """
    check_input(x)
    samples, noise, rng = positive_int("samples", samples), not_negative("noise", noise), backend.generator(rng)
    features = features_of(model, x)
    axes = tuple(range(1, features.ndim))
    sigma = noise * (features.max(axis=axes, keepdims=True) - features.min(axis=axes, keepdims=True))  # (N, 1, ...)

    def noisy() -> Array:
        # Draw the noise on the CPU, so that it is the same for every device.
        n = rng.standard_normal(features.shape).astype(features.dtype)
        return features + sigma * backend.to_device(n, backend.device_of(features))

    g = sum(gradients_at(model, x, target, (noisy() for _ in range(samples)))) / samples
    return lengths(g) if is_tokens(x) else g
