"""Dropout: in training mode, each element is set to zero with probability p.

    shapes      x, y, mask: any, the same

    forward     y  = x * mask       mask is 0 with probability p, else 1 / (1 - p)
    backward    dx = dy * mask      the same mask

The probability of keeping an element is 1 - p. Dividing by it makes the expected value of y equal to x ("inverted"
dropout). So in ``eval()`` mode y = x, without any scaling.

Reference: Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov (2014), "Dropout: a simple way to prevent neural
networks from overfitting", https://www.jmlr.org/papers/v15/srivastava14a.html.
"""

from __future__ import annotations

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import check_floats, check_gradient, probability
from ..module import Module


class Dropout(Module):
    """Dropout: zero each element with probability `p` in training mode, and do nothing in ``eval()`` mode.

    Parameters
    ----------
    p : float, 0 <= p < 1
        The probability of zeroing an element.
    rng : None, int or numpy.random.Generator

    Attributes
    ----------
    rng : numpy.random.Generator
        Draws the masks. Checkpoints store its state. The gradient checker restores it before every forward.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> layer = nn.Dropout(0.5, rng=0)
    >>> print(layer(np.ones(8)))
    [2. 2. 2. 0. 0. 0. 0. 0.]
    >>> print(layer.eval()(np.ones(8)))
    [1. 1. 1. 1. 1. 1. 1. 1.]
    """

    arguments = ("p",)

    def __init__(self, p: float = 0.5, *, rng: None | int | np.random.Generator = None):
        self.p = probability("p", p)
        self.rng = backend.generator(rng)

    @property
    def draws_random_numbers(self) -> bool:
        return self.p > 0

    def forward(self, x: Array) -> Array:
        check_floats(self, "x", x)
        if not self.training or self.deterministic or self.p == 0:
            self.save_for_backward(x.shape, x.dtype, None)
            return x
        mask = dropout_mask(x.shape, self.p, self.rng, x)
        self.save_for_backward(x.shape, x.dtype, mask)
        return x * mask

    def backward(self, dy: Array) -> Array:
        shape, dtype, mask = self.saved()
        check_gradient(self, dy, shape, dtype)
        return dy if mask is None else dy * mask


def dropout_mask(shape: tuple[int, ...], p: float, rng: np.random.Generator, like: Array) -> Array:
    """Return a mask with the dtype and device of `like`: 0 with probability `p`, and otherwise 1 / (1 - p)."""
    probability("p", p)  # you may have changed it since the layer was made
    mask = backend.array_module(like).empty(shape, dtype=like.dtype)
    fill_mask(backend.uniform_like(rng, shape, like), p, 1 / (1 - p), mask)
    return mask


@backend.fused("float32 u, float32 p, T scale", "T mask", "mask = u >= p ? scale : (T)0;")
def fill_mask(u: Array, p: float, scale: float, mask: Array) -> None:
    mask[...] = u >= p
    mask *= scale
