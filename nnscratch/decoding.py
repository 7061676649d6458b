"""Decoding: search for a target sequence to which a sequence-to-sequence model gives a high probability.

The probability of a target y_1 .. y_T is a product over its tokens, so its logarithm is a sum:

    log p(y | source) = sum over t of log p(y_t | y_1 .. y_{t-1}, source)

greedy      Take the most likely token at every step. A likely first token may lead to unlikely later tokens.

beam        Keep the k best beginnings of a target. At every step, extend each of them by each of the V tokens, and
            keep the k best of the k V results. A result that ends with the stop token is finished. With k = 1, this is
            the greedy search. If k is the number of all possible sequences, the search finds the best one.

The probability of a longer target is a product of more factors below 1, so it is smaller. The score log p / T^a,
with a > 0, prefers longer targets. This is called a length penalty.

References
----------
Graves (2012), "Sequence transduction with recurrent neural networks", arXiv:1211.3711: the beam. Wu et al. (2016),
"Google's neural machine translation system", arXiv:1609.08144: length penalties.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from . import backend
from .checks import at_least, check_ids, positive_int
from .layers import LogSoftmax
from .modes import eval_mode
from .module import Module
from .parameter import to_device_of


class Hypothesis(NamedTuple):
    """A target that a search found. Its tokens do not include start and stop. Its score is log p / T^a."""

    tokens: np.ndarray
    score: float


def greedy_search(
    model: Module, source: Any, start: int, stop: int, max_length: int, lengths: Any = None
) -> list[np.ndarray]:
    """Return one target for each source. At every step, the search takes the most likely token.

    Parameters
    ----------
    model : Seq2Seq or TransformerSeq2Seq
        Or another Module with the methods ``start`` and ``step``. It runs in ``eval()`` mode.
    source : array of integers, shape (N, S)
    start, stop : int
        The tokens that begin and end a target.
    max_length : int
        The largest number of tokens of a target. A target of this length ends without a stop token.
    lengths : sequence of N integers in 1..S, optional
        The number of real tokens in each source.

    Returns
    -------
    list of N integer arrays
        The tokens of each target, without start and stop.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> model = nn.models.Seq2Seq(10, 8, embed_size=4, hidden_size=6, rng=2)
    >>> nn.greedy_search(model, np.array([[1, 2, 3]]), start=0, stop=1, max_length=4)
    [array([7])]
    """
    _check(model, start, stop, max_length)
    (source,) = to_device_of(model, _ids("source", source, 2))
    written: list[np.ndarray] = []
    with eval_mode(model):
        state = model.start(source, lengths)
        tokens = np.full(len(source), start)
        stopped = np.zeros(len(source), dtype=bool)
        while len(written) < max_length and not stopped.all():
            logits, state = model.step(*to_device_of(model, tokens), state)
            tokens = backend.to_numpy(logits).argmax(axis=1)  # (N,)
            stopped |= tokens == stop
            written.append(np.where(stopped, stop, tokens))
    rows = np.array(written).T.reshape(len(source), -1)  # (N, T)
    return [row[: np.count_nonzero(row != stop)] for row in rows]


def beam_search(
    model: Module,
    source: Any,
    start: int,
    stop: int,
    max_length: int,
    beam_size: int,
    length_penalty: float = 0.0,
) -> list[Hypothesis]:
    """Return the best targets that a beam search finds for one source, the best first.

    Parameters
    ----------
    model : Seq2Seq or TransformerSeq2Seq
        Or another Module with the methods ``start`` and ``step``. It runs in ``eval()`` mode.
    source : array of integers, shape (S,)
        One source, without padding.
    start, stop : int
        The tokens that begin and end a target.
    max_length : int
        The largest number of tokens of a target. A target of this length ends without a stop token.
    beam_size : int
        k, the number of beginnings that are kept at every step.
    length_penalty : float
        a, in [0, 100). The score of a target is log p / T^a, where T is the number of its tokens, with the stop token.

    Returns
    -------
    list of Hypothesis
        At most `beam_size` of them.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> model = nn.models.Seq2Seq(10, 8, embed_size=4, hidden_size=6, rng=2)
    >>> for tokens, score in nn.beam_search(model, np.array([1, 2, 3]), start=0, stop=1, max_length=4, beam_size=2):
    ...     print(tokens, round(score, 2))
    [] -1.87
    [7] -3.69
    """
    _check(model, start, stop, max_length)
    k, penalty = positive_int("beam_size", beam_size), at_least("length_penalty", length_penalty, 0, below=100)
    (source,) = to_device_of(model, _ids("source", source, 1)[None])  # (1, S)
    finished: list[Hypothesis] = []
    with eval_mode(model):
        state = model.start(source)
        targets, scores = np.full((1, 1), start), np.zeros(1)  # (B, t) and (B,): the beam of B <= k beginnings
        for t in range(1, max_length + 1):
            logits, state = model.step(*to_device_of(model, targets[:, -1]), state)
            log_p = LogSoftmax().eval()(backend.to_numpy(logits).astype(np.float64))  # (B, V)
            totals = scores[:, None] + log_p  # (B, V)
            best = np.argsort(-totals, axis=None, kind="stable")[:k]
            rows, tokens = np.unravel_index(best, totals.shape)
            targets, scores = np.column_stack([targets[rows], tokens]), totals[rows, tokens]
            ended = (tokens == stop) | (t == max_length)
            for y, score in zip(targets[ended], scores[ended], strict=True):
                finished.append(Hypothesis(y[1:-1] if y[-1] == stop else y[1:], float(score) / t**penalty))
            finished = sorted(finished, key=lambda found: -found.score)[:k]
            targets, scores, rows = targets[~ended], scores[~ended], rows[~ended]
            # A further token only decreases log p. So a beginning with log p = s scores at most s / max_length^a.
            if not len(targets) or (len(finished) == k and (scores / max_length**penalty <= finished[-1].score).all()):
                break
            state = tuple(a[backend.array_module(a).asarray(rows)] for a in state)
    return finished


def _ids(name: str, ids: Any, axes: int) -> np.ndarray:
    """Return `ids` as an array with this number of axes, or raise."""
    ids = backend.to_numpy(ids) if hasattr(ids, "shape") else np.asarray(ids)
    if ids.ndim != axes or ids.dtype.kind not in "iu":
        shape = "(S,)" if axes == 1 else "(N, S)"
        raise ValueError(f"a search needs {name} of shape {shape}, integers, got {ids.shape} of {ids.dtype}")
    return ids


def _check(model: Module, start: int, stop: int, max_length: int) -> None:
    """Raise unless the arguments that both searches have in common are valid."""
    for method in ("start", "step"):
        if not callable(getattr(model, method, None)):
            raise TypeError(f"{type(model).__name__} has no method {method}: a search needs an encoder and a decoder")
    for name, token in (("start", start), ("stop", stop)):
        check_ids(model, name, np.asarray(token), model.target_vocab_size)
    positive_int("max_length", max_length)
