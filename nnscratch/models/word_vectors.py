"""WordVectors: vectors for words, learned from the words around them (word2vec).

A word gets two vectors: a row of E, as an input, and a row of O, as a candidate. The model reads some words of the text
(the inputs) and gives scores to candidates. The first candidate is a word that stands near the inputs in the text. The
K other candidates are drawn at random (the negatives).

    shapes      inputs (N, C)    candidates (N, 1 + K)    E, O (V, D)    h (N, D)    scores (N, 1 + K)

    forward     h_n      = mean over c of E[inputs_nc]
                score_nk = h_n . O[candidates_nk]

    backward    dO[candidates_nk] += dscore_nk h_n          dh_n = sum over k of dscore_nk O[candidates_nk]
                dE[inputs_nc]     += dh_n / C

    CBOW        the inputs are the C words around a word, and the first candidate is this word
    skip-gram   the one input is the word in the middle (C = 1), and the first candidate is a word near it

With `BCEWithLogitsLoss` and the targets 1, 0, ..., 0, this is negative sampling: 1 + K yes-or-no questions replace a
softmax over all V words. `WordWindows` makes the batches.

Reference: Mikolov, Sutskever, Chen, Corrado and Dean (2013), "Distributed representations of words and phrases and
their compositionality", arXiv:1310.4546.
"""

from __future__ import annotations

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import check_gradient, check_ids, positive_int
from ..init import uniform
from ..layers import Embedding
from ..module import Module


class WordVectors(Module):
    """Word vectors with negative sampling. The batches determine whether the model is CBOW or skip-gram.

    Parameters
    ----------
    vocab_size : int
        V, the number of different words.
    embed_size : int
        D, the length of the vectors.
    rng : None, int or numpy.random.Generator
        The source of E, which is uniform from -1/(2 D) to 1/(2 D). O starts at 0.

    Attributes
    ----------
    embedding : Embedding
        E, the word vectors.
    output : Embedding
        O, the vectors of the candidates.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> model = nn.models.WordVectors(vocab_size=10, embed_size=4, rng=0)
    >>> inputs, candidates = np.array([[1, 2, 4, 5]]), np.array([[3, 8, 0]])
    >>> scores = model(inputs, candidates)
    >>> scores.shape
    (1, 3)
    >>> model.backward(np.ones_like(scores))                            # words have no gradient
    (None, None)
    """

    arguments = ("vocab_size", "embed_size")

    def __init__(self, vocab_size: int, embed_size: int, *, rng: None | int | np.random.Generator = None):
        self.vocab_size, self.embed_size = (
            positive_int("vocab_size", vocab_size),
            positive_int("embed_size", embed_size),
        )
        self.embedding, self.output = Embedding(vocab_size, embed_size, rng=0), Embedding(vocab_size, embed_size, rng=0)
        self.embedding.weight.data[...] = uniform((vocab_size, embed_size), 0.5 / embed_size, rng)
        self.output.weight.data[...] = 0

    def forward(self, inputs: Array, candidates: Array) -> Array:
        """Return the scores, shape (N, 1 + K), of the candidates given the inputs, shape (N, C)."""
        for name, ids in (("inputs", inputs), ("candidates", candidates)):
            check_ids(self, name, ids, self.vocab_size)
            if ids.ndim != 2 or 0 in ids.shape or len(ids) != len(inputs):
                raise ValueError(
                    f"WordVectors needs inputs of shape (batch, C) and candidates of shape (batch, 1 + K), with equal "
                    f"batch; got {inputs.shape} and {candidates.shape}"
                )
        h = self.embedding(inputs).mean(axis=1)  # (N, D)
        o = self.output(candidates)  # (N, 1 + K, D)
        self.save_for_backward(h, o, inputs.shape)
        return (o @ h[:, :, None])[:, :, 0]

    def backward(self, dscores: Array) -> tuple[None, None]:
        """Add the gradients of E and O. Words have no gradient."""
        h, o, (N, C) = self.saved()
        check_gradient(self, dscores, o.shape[:2], o.dtype)
        xp, D = backend.array_module(h), self.embed_size
        dh = (dscores[:, None] @ o)[:, 0]  # (N, D)
        self.output.backward(dscores[:, :, None] * h[:, None])  # (N, 1 + K, D)
        self.embedding.backward(xp.ascontiguousarray(xp.broadcast_to(dh[:, None] / C, (N, C, D))))
        return None, None

    def nearest(self, vector: Array, count: int = 5, exclude: tuple[int, ...] = ()) -> np.ndarray:
        """Return the words whose vectors have the smallest angles to `vector`, shape (D,), the nearest first.

        Parameters
        ----------
        vector : array, shape (D,)
        count : int
        exclude : tuple of int
            Words that are left out.

        Examples
        --------
        The words nearest to word 3, without word 3 itself:

        >>> import nnscratch as nn
        >>> model = nn.models.WordVectors(vocab_size=10, embed_size=4, rng=0)
        >>> print(model.nearest(model.embedding.weight.data[3], count=3, exclude=(3,)))
        [0 7 4]
        """
        E = backend.to_numpy(self.embedding.weight.data).astype(np.float64)
        cosines = E @ backend.to_numpy(vector) / np.maximum(np.linalg.norm(E, axis=1), 1e-30)
        cosines[list(exclude)] = -np.inf
        return np.argsort(-cosines, kind="stable")[: positive_int("count", count)]

    def analogy(self, a: int, b: int, c: int, count: int = 1) -> np.ndarray:
        """Return the words that complete "`a` is to `b` as `c` is to ...": the nearest to E[b] - E[a] + E[c].

        Each vector is first divided by its length. The words a, b and c are excluded, as in the published evaluations.
        Otherwise `c` would be the answer in most cases.
        """
        unit = [backend.to_numpy(self.embedding.weight.data[word]).astype(np.float64) for word in (a, b, c)]
        unit = [e / max(np.linalg.norm(e), 1e-30) for e in unit]
        return self.nearest(unit[1] - unit[0] + unit[2], count, exclude=(a, b, c))
