"""PositionalEmbedding: a learned vector for each position in the sequence, added to the token's vector.

    shapes      x, y (N, T, D)    W (L, D), L positions    s: the position of the first token, usually 0

    forward     y[:, t] = x[:, t] + W[s + t]
    backward    dx = dy         dW[s + t] += sum over N of dy[:, t]

Attention does not depend on the order of its tokens: if you shuffle the inputs, the outputs are the same vectors,
shuffled in the same way. So the position must be part of each vector.

Reference: Gehring, Auli, Grangier, Yarats and Dauphin (2017), "Convolutional sequence to sequence learning",
arXiv:1705.03122.
"""

from __future__ import annotations

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import check_floats, check_gradient, integer, positive_int
from ..init import normal
from ..module import Module
from ..parameter import Parameter
from ..per_example import Rows


class PositionalEmbedding(Module):
    """Add to each token's vector a learned vector, which depends on the token's position.

    Parameters
    ----------
    max_length : int
        L, the number of positions.
    embed_dim : int
        D, the length of each vector.
    rng : None, int or numpy.random.Generator
        The source of the weights, or its seed. They are normal with standard deviation 0.02, as in GPT-2.

    Attributes
    ----------
    weight : Parameter, shape (max_length, embed_dim)

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> layer = nn.PositionalEmbedding(5, 2, rng=0)
    >>> y = layer(np.zeros((3, 4, 2), dtype=np.float32))
    >>> bool((y[0] == layer.weight.data[:4]).all())
    True
    >>> dx = layer.backward(np.ones_like(y))
    >>> print(layer.weight.grad[:, 0])
    [3. 3. 3. 3. 0.]
    """

    keeps_examples = True
    arguments = ("max_length", "embed_dim")

    def __init__(self, max_length: int, embed_dim: int, *, rng: None | int | np.random.Generator = None):
        self.max_length, self.embed_dim = positive_int("max_length", max_length), positive_int("embed_dim", embed_dim)
        self.weight = Parameter(normal((max_length, embed_dim), 0.02, rng))

    def forward(self, x: Array, start: int = 0) -> Array:
        check_floats(self, "x", x, like=self.weight)
        if x.ndim != 3 or x.shape[2] != self.embed_dim:
            raise ValueError(f"PositionalEmbedding needs x of shape (batch, time, {self.embed_dim}), got {x.shape}")
        if not 0 <= integer("start", start) <= self.max_length - x.shape[1]:
            raise ValueError(
                f"PositionalEmbedding has {self.max_length} positions; {x.shape[1]} tokens that start at position "
                f"{start} do not fit"
            )
        positions = slice(start, start + x.shape[1])
        self.save_for_backward(x.shape, positions)
        return x + self.weight.data[positions]

    def backward(self, dy: Array) -> Array:
        shape, positions = self.saved()
        check_gradient(self, dy, shape, self.weight.dtype)
        self.weight.grad[positions] += dy.sum(axis=0)
        if self.weight.examples is not None:
            ids = backend.array_module(dy).arange(positions.start, positions.stop)
            self.weight.keep(Rows(ids[None].repeat(len(dy), axis=0), dy))
        return dy.copy()
