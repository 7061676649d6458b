"""Mistakes in embeddings."""

import numpy as np

import nnscratch as nn

from .planted import Planted

rng = np.random.default_rng(11)
TABLE = rng.normal(size=(6, 3))
IDS = np.array([[0, 3, 3, 1], [5, 3, 0, 2]])


class Embedding:
    """In the form of "Deep Learning from Scratch"."""

    def __init__(self, W):
        self.params, self.grads = [W], [np.zeros_like(W)]
        self.idx = None

    def forward(self, idx):
        (W,) = self.params
        self.idx = idx
        return W[idx]

    def backward(self, dout):
        (dW,) = self.grads
        dW[...] = 0
        np.add.at(dW, self.idx, dout)
        return None


class EmbeddingAssigned(Embedding):
    def backward(self, dout):
        (dW,) = self.grads
        dW[...] = 0
        dW[self.idx] = dout
        return None


def word_embedding_forward(x, W):
    return W[x], (x, W)


def word_embedding_backward(dout, cache):
    x, W = cache
    dW = np.zeros_like(W)
    np.add.at(dW, x, dout)
    return dW


def word_embedding_backward_added_in_place(dout, cache):
    x, W = cache
    dW = np.zeros_like(W)
    dW[x] += dout
    return dW


def word_embedding_backward_of_the_last_word(dout, cache):
    x, W = cache
    dW = np.zeros_like(W)
    np.add.at(dW, x[:, -1], dout[:, -1])
    return dW


class ScaledEmbedding(nn.Module):
    """As in the Transformer: multiplied by the square root of the dimension."""

    def __init__(self, table):
        super().__init__()
        self.weight = nn.Parameter(table.copy())

    def forward(self, ids):
        self.save_for_backward(ids)
        return self.weight.data[ids] * np.sqrt(self.weight.data.shape[1])

    def backward(self, dy):
        (ids,) = self.saved()
        np.add.at(self.weight.grad, ids, dy * np.sqrt(self.weight.data.shape[1]))


class ScaledEmbeddingWithoutTheRoot(ScaledEmbedding):
    def backward(self, dy):
        (ids,) = self.saved()
        np.add.at(self.weight.grad, ids, dy)


class WithPositions(nn.Module):
    """A token's row and its position's row."""

    def __init__(self, table, positions):
        super().__init__()
        self.tokens, self.positions = nn.Parameter(table.copy()), nn.Parameter(positions.copy())

    def forward(self, ids):
        self.save_for_backward(ids)
        return self.tokens.data[ids] + self.positions.data

    def backward(self, dy):
        (ids,) = self.saved()
        np.add.at(self.tokens.grad, ids, dy)
        self.positions.grad += dy.sum(axis=0)


class WithPositionsNotSummed(WithPositions):
    def backward(self, dy):
        (ids,) = self.saved()
        np.add.at(self.tokens.grad, ids, dy)
        self.positions.grad = dy


class Tied(nn.Module):
    """Tied weights: one table for the embedding and the output layer."""

    def __init__(self, table):
        super().__init__()
        self.weight = nn.Parameter(table.copy())

    def forward(self, ids):
        e = self.weight.data[ids]
        h = np.tanh(e)
        self.save_for_backward(ids, h)
        return h @ self.weight.data.T

    def backward(self, dy):
        ids, h = self.saved()
        self.weight.grad += np.tensordot(dy, h, axes=([0, 1], [0, 1]))
        dh = dy @ self.weight.data
        np.add.at(self.weight.grad, ids, dh * (1 - h**2))


class TiedCountedAtTheInput(Tied):
    def backward(self, dy):
        ids, h = self.saved()
        dh = dy @ self.weight.data
        np.add.at(self.weight.grad, ids, dh * (1 - h**2))


class PaddedMean(nn.Module):
    """The mean of the rows of all ids except 0, which is padding."""

    def __init__(self, table):
        super().__init__()
        self.weight = nn.Parameter(table.copy())

    def forward(self, ids):
        mask = (ids != 0)[..., None]  # (N, T, 1)
        count = mask.sum(axis=1)  # (N, 1)
        self.save_for_backward(ids, mask, count)
        return (self.weight.data[ids] * mask).sum(axis=1) / count

    def backward(self, dy):
        ids, mask, count = self.saved()
        d = (dy / count)[:, None, :] * mask
        np.add.at(self.weight.grad, ids, d)


class PaddedMeanWithPadding(PaddedMean):
    def backward(self, dy):
        ids, mask, count = self.saved()
        d = np.repeat((dy / count)[:, None, :], ids.shape[1], axis=1)
        np.add.at(self.weight.grad, ids, d)


CORRECT = [
    (Embedding(TABLE.copy()), (IDS,), {}),
    ((word_embedding_forward, word_embedding_backward), (IDS, TABLE), {}),
    (ScaledEmbedding(TABLE), (IDS,), {}),
    (WithPositions(TABLE, TABLE[:4]), (IDS,), {}),
    (Tied(TABLE), (IDS,), {}),
    (PaddedMean(TABLE), (IDS,), {}),
]

MISTAKES = [
    Planted("rows met twice counted once", "dW[idx] = dout", EmbeddingAssigned(TABLE.copy()), (IDS,)),
    Planted(
        "rows met twice counted once",
        "dW[x] += dout",
        (word_embedding_forward, word_embedding_backward_added_in_place),
        (IDS, TABLE),
    ),
    Planted(
        "only the last time step counted",
        "np.add.at(dW, x[:, -1], dout[:, -1])",
        (word_embedding_forward, word_embedding_backward_of_the_last_word),
        (IDS, TABLE),
    ),
    Planted("scaled by a constant", "sqrt(D) forgotten in backward", ScaledEmbeddingWithoutTheRoot(TABLE), (IDS,)),
    Planted("sum over the batch missing", "positions.grad = dy", WithPositionsNotSummed(TABLE, TABLE[:4]), (IDS,)),
    Planted("a path missing", "tied weights: only the gradient of the embedding", TiedCountedAtTheInput(TABLE), (IDS,)),
    Planted("mask not applied", "a gradient for padding positions", PaddedMeanWithPadding(TABLE), (IDS,)),
]
