"""Variational dropout: the same units are zeroed at every step of a sequence.

    shapes      x, y (N, T, D)    mask (N, 1, D)

    forward     y  = x * mask       mask is 0 with probability p, else 1 / (1 - p); one mask for each sequence
    backward    dx = dy * mask      the same mask

Ordinary dropout draws a new mask at every time step. Over a long sequence this noise averages out, or it erases the
memory of a recurrent network. With one mask for each sequence, the same units are missing at all of its steps. This
agrees with the Bayesian interpretation of dropout. In ``eval()`` mode y = x.

Reference: Gal and Ghahramani (2016), "A theoretically grounded application of dropout in recurrent neural networks",
arXiv:1512.05287.
"""

from __future__ import annotations

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import check_floats, check_gradient, probability
from ..module import Module
from .dropout import dropout_mask


class VariationalDropout(Module):
    """Variational dropout: in training mode, zero each feature of a sequence at all steps with probability `p`.

    Parameters
    ----------
    p : float, 0 <= p < 1
        The probability of zeroing a feature.
    rng : None, int or numpy.random.Generator

    Attributes
    ----------
    rng : numpy.random.Generator
        Draws the masks.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> layer = nn.VariationalDropout(0.5, rng=0)
    >>> print(layer(np.ones((1, 3, 8)))[0])
    [[2. 2. 2. 0. 0. 0. 0. 0.]
     [2. 2. 2. 0. 0. 0. 0. 0.]
     [2. 2. 2. 0. 0. 0. 0. 0.]]
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
        if x.ndim != 3:
            raise ValueError(
                f"VariationalDropout needs x of shape (N, T, D): batch, time, features; got {x.shape}. "
                f"Without a time axis use nn.Dropout"
            )
        mask = None
        if self.training and not self.deterministic and self.p != 0:
            N, _, D = x.shape
            mask = dropout_mask((N, 1, D), self.p, self.rng, like=x)
        self.save_for_backward(x.shape, x.dtype, mask)
        return x.copy() if mask is None else x * mask

    def backward(self, dy: Array) -> Array:
        shape, dtype, mask = self.saved()
        check_gradient(self, dy, shape, dtype)
        return dy.copy() if mask is None else dy * mask
