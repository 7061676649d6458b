"""Embedding: a table with one row, a learned vector, for each token.

    shapes      ids (...) integers in 0..V-1    W (V, D)    y (..., D)

    forward     y[k] = W[ids[k]]
    backward    dW[v] = sum of dy[k] over all k with ids[k] = v
    per example dW_n[v] = the same sum over the k of example n

An embedding is a Linear layer on one-hot vectors, without the multiplications by zero. A token that occurs twice gets
the *sum* of both gradients. The ids are integers, so there is no gradient with respect to them.

A batch reads few rows of a large table. Only the gradients of these rows are computed and stored, until you read the
whole gradient (see `Parameter.nonzero_rows`).

Reference: Bengio, Ducharme, Vincent and Jauvin (2003), "A neural probabilistic language model",
https://www.jmlr.org/papers/v3/bengio03a.html.
"""

from __future__ import annotations

import numpy as np

from ..backend import Array
from ..checks import check_gradient, check_ids, positive_int
from ..init import normal
from ..module import Module
from ..parameter import Parameter
from ..per_example import Rows


class Embedding(Module):
    """A learned vector for every token id.

    Parameters
    ----------
    num_embeddings : int
        V, the number of tokens.
    embedding_dim : int
        D, the length of each vector.
    rng : None, int or numpy.random.Generator
        The source of the weights, or its seed. They are drawn from the standard normal distribution, as in PyTorch.

    Attributes
    ----------
    weight : Parameter, shape (num_embeddings, embedding_dim)

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> layer = nn.Embedding(5, 2, rng=0)
    >>> layer(np.array([[0, 3, 3]])).shape
    (1, 3, 2)
    >>> layer.backward(np.ones((1, 3, 2), dtype=np.float32))
    >>> print(layer.weight.grad[:, 0])
    [1. 0. 0. 2. 0.]
    """

    keeps_examples = True
    arguments = ("num_embeddings", "embedding_dim")

    def __init__(self, num_embeddings: int, embedding_dim: int, *, rng: None | int | np.random.Generator = None):
        self.num_embeddings = positive_int("num_embeddings", num_embeddings)
        self.embedding_dim = positive_int("embedding_dim", embedding_dim)
        self.weight = Parameter(normal((num_embeddings, embedding_dim), rng=rng))

    def forward(self, ids: Array) -> Array:
        check_ids(self, "ids", ids, self.num_embeddings)
        self.save_for_backward(ids)
        return self.weight.data[ids]

    def backward(self, dy: Array) -> None:
        (ids,) = self.saved()
        check_gradient(self, dy, (*ids.shape, self.embedding_dim), self.weight.dtype)
        self.weight.add_rows(ids.reshape(-1), dy.reshape(-1, self.embedding_dim))
        if self.weight.examples is not None:
            N = len(ids)
            self.weight.keep(Rows(ids.reshape(N, -1), dy.reshape(N, -1, self.embedding_dim)))
