"""Choose the next token, given the scores (logits) of all tokens.

    scores  -> repetition penalty -> / temperature -> top-k -> top-p -> min-p -> probabilities -> draw

    repetition penalty r    If the text contains the token, its score s becomes s / r if s > 0, and r s otherwise.
    top-k                   Keep the k most likely tokens.
    top-p                   Keep the smallest set of tokens whose probabilities sum to at least p.
    min-p                   Keep the tokens whose probability is at least min_p times the largest probability.

With scores x and temperature t, the probabilities are softmax(x / t). Each filter reads only the tokens that the filter
before it kept. The probabilities of the kept tokens are scaled so that their sum is 1. Hugging Face's library
``transformers`` applies the filters in the same order.

References
----------
Keskar et al. (2019), "CTRL: a conditional Transformer language model for controllable generation", arXiv:1909.05858:
the penalty. Fan, Lewis and Dauphin (2018), "Hierarchical neural story generation", arXiv:1805.04833: top-k. Holtzman,
Buys, Du, Forbes and Choi (2020), "The curious case of neural text degeneration", arXiv:1904.09751: top-p. Nguyen et al.
(2024), "Turning up the heat: min-p sampling", arXiv:2407.01082.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .checks import finite, not_negative, positive_int


@dataclass(frozen=True)
class Sampling:
    """The settings for choosing a token. `nn.generate` has the same parameters.

    Examples
    --------
    >>> import numpy as np
    >>> print(Sampling(top_k=2).probabilities(np.log([0.5, 0.2, 0.3])))
    [0.625 0.    0.375]
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        not_negative("temperature", self.temperature)
        if self.top_k is not None:
            positive_int("top_k", self.top_k)
        if self.top_p is not None and not 0 < finite("top_p", self.top_p) <= 1:
            raise ValueError(f"top_p must be in (0, 1], got {self.top_p!r}")
        if self.min_p is not None and not 0 <= finite("min_p", self.min_p) <= 1:
            raise ValueError(f"min_p must be in [0, 1], got {self.min_p!r}")
        if not finite("repetition_penalty", self.repetition_penalty) > 0:
            raise ValueError(f"repetition_penalty must be above 0, got {self.repetition_penalty!r}")

    def choose(self, scores: np.ndarray, rng: np.random.Generator, seen: np.ndarray | None = None) -> int:
        """Draw the id of one token.

        Parameters
        ----------
        scores : array of floats, shape (V,)
        rng : numpy.random.Generator
        seen : array of bool, shape (V,), optional
            True for the tokens that the text already contains.
        """
        if self.temperature == 0:
            return int(self._penalised(scores, seen).argmax())
        below = self._weights(scores, seen).cumsum()
        below /= below[-1]  # the last element is exactly 1, above every draw from [0, 1)
        return int(below.searchsorted(rng.random(), side="right"))

    def probabilities(self, scores: np.ndarray, seen: np.ndarray | None = None) -> np.ndarray:
        """Return the probability of each token, shape (V,), for a temperature above 0."""
        p = self._weights(scores, seen)
        return p / p.sum()

    def _weights(self, scores: np.ndarray, seen: np.ndarray | None) -> np.ndarray:
        """Return the probabilities before the division by their sum. Drawing a token does not need this division."""
        scores = self._penalised(scores, seen)
        if self.top_k is not None and self.top_k < len(scores):
            least = np.partition(scores, -self.top_k)[-self.top_k]  # the k-th largest; of equal scores, keep the first
            equal = np.flatnonzero(scores == least)[self.top_k - np.count_nonzero(scores > least) :]
            scores = np.where(scores < least, -np.inf, scores)
            scores[equal] = -np.inf
        with np.errstate(over="ignore"):  # a temperature near 0 makes all scores except the largest -infinity
            scores = (scores - scores.max()) / self.temperature
        p = np.exp(scores)
        if self.top_p is not None:
            p /= p.sum()
            order = np.argsort(-p, kind="stable")
            enough = int(np.searchsorted(np.cumsum(p[order]), self.top_p)) + 1
            p[order[enough:]] = 0
        if self.min_p is not None:
            p[p < self.min_p * p.max()] = 0
        return p

    def _penalised(self, scores: np.ndarray, seen: np.ndarray | None) -> np.ndarray:
        """Return the scores after the repetition penalty."""
        if seen is None or self.repetition_penalty == 1:
            return scores
        r = self.repetition_penalty
        return np.where(seen, np.where(scores > 0, scores / r, scores * r), scores)
