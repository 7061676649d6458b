"""WordWindows: batches for word vectors. Each batch has words that are near each other, and words drawn at random.

    text with window 2      ... the  pride  OF  the  man ...

    CBOW                    inputs (the, pride, the, man)       candidates (of, and K random words)
    skip-gram               input (of)                          candidates (pride, and K random words), and so on for
                                                                each of the four words around it

The random words are called negatives. The word w is drawn with a probability proportional to count(w)^0.75. So the
share of a frequent word among the negatives is smaller than its share of the text. Some occurrences of frequent words
are also left out of the text at random, so that rare words take their places in the windows. A word with the
frequency f is kept with the probability min(1, sqrt(t / f)), where t is a threshold.

Reference: Mikolov, Sutskever, Chen, Corrado and Dean (2013), "Distributed representations of words and phrases and
their compositionality", arXiv:1310.4546.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .. import backend
from ..checks import not_negative, one_of, positive_int
from .batches import _token_ids

Batch = tuple[tuple[np.ndarray, np.ndarray], np.ndarray]


class WordWindows:
    """Mini-batches of windows of a text, with negatives. Iterate over it to get ((inputs, candidates), targets).

    Each iteration is one epoch: the windows come in a new random order, with new negatives.

    Parameters
    ----------
    tokens : integer array or list of int, shape (length,)
        The ids of the words of a text.
    window : int
        W, the number of words on each side of the middle word.
    negatives : int
        K, the number of negatives in each row of the candidates.
    batch_size : int
        N, the number of windows (CBOW) or of pairs of words (skip-gram) in a batch.
    kind : {"cbow", "skip-gram"}
    subsample : float
        The threshold t. Words with a frequency above t are left out of the text at random, once, when the object is
        made. With 0, no word is left out.
    rng : None, int or numpy.random.Generator

    Raises
    ------
    ValueError
        Fewer than 2 W + 1 words are left.

    Examples
    --------
    >>> windows = WordWindows(range(6), window=1, negatives=2, batch_size=3, kind="cbow", subsample=0, rng=0)
    >>> (inputs, candidates), targets = next(iter(windows))
    >>> print(inputs.tolist(), candidates[:, 0], targets.tolist())
    [[2, 4], [0, 2], [1, 3]] [3 1 2] [[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]
    """

    def __init__(
        self,
        tokens: Any,
        window: int,
        negatives: int,
        batch_size: int,
        kind: str = "skip-gram",
        subsample: float = 1e-3,
        rng: None | int | np.random.Generator = None,
    ):
        self.window, self.negatives = positive_int("window", window), positive_int("negatives", negatives)
        self.batch_size, self.rng = positive_int("batch_size", batch_size), backend.generator(rng)
        self.kind = one_of("kind", kind, ("cbow", "skip-gram"))
        tokens, t = _token_ids(tokens), not_negative("subsample", subsample)
        counts = np.bincount(tokens)
        if t:
            keep = np.minimum(1, np.sqrt(t * max(1, tokens.size) / np.maximum(counts, 1)))  # sqrt(t / f)
            tokens = tokens[self.rng.random(tokens.size) < keep[tokens]]
        if tokens.size < 2 * window + 1:
            raise ValueError(f"a window of {window} needs {2 * window + 1} words, and the text has {tokens.size} left")
        self.tokens = tokens
        self._below = np.cumsum(counts**0.75)  # cumulative sums, to draw negatives
        offsets = np.arange(-window, window + 1)
        self._offsets = offsets[offsets != 0]
        self._middles = len(tokens) - 2 * window

    def __len__(self) -> int:
        return -(-self._count // self.batch_size)

    @property
    def _count(self) -> int:
        return self._middles * (1 if self.kind == "cbow" else len(self._offsets))

    def __iter__(self) -> Iterator[Batch]:
        order = self.rng.permutation(self._count)
        for start in range(0, self._count, self.batch_size):
            number = order[start : start + self.batch_size]
            middle = number % self._middles + self.window
            if self.kind == "cbow":
                inputs, right = self.tokens[middle[:, None] + self._offsets], self.tokens[middle]
            else:
                near = middle + self._offsets[number // self._middles]
                inputs, right = self.tokens[middle][:, None], self.tokens[near]
            draws = self.rng.random((len(number), self.negatives)) * self._below[-1]
            candidates = np.column_stack([right, np.searchsorted(self._below, draws, side="right")])
            targets = np.zeros(candidates.shape, dtype=np.float32)
            targets[:, 0] = 1
            yield (inputs, candidates), targets
