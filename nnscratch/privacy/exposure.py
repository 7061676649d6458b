"""Exposure: has a language model memorised a secret that occurs in its training text?

    canary      a sentence with random digits, such as "the code of anne is 4471", put into the training text
    R           one sentence for each possible choice of the digits: 10^4 sentences for four digits
    rank        the position of the canary if R is ordered by the model's loss; the most likely sentence has rank 1
    exposure    log2 |R| - log2 rank, in bits

If the model has not memorised the canary, the rank is random. Then the exposure is above b bits with probability 2^-b,
and 1.44 bits on average. If the canary comes first, the exposure is log2 |R|, or 13.3 bits for four digits. In this
case, an attacker who starts with the most likely digits finds the secret in one try. With one bit less, the attacker
needs twice as many tries.

The digits are drawn at random, so the model can learn them only from the canary itself.

Reference: Carlini, Liu, Erlingsson, Kos and Song (2019), "The secret sharer: evaluating and testing unintended
memorization in neural networks", arXiv:1802.08232.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import check_instance, count, positive_int
from ..data import CharTokenizer
from ..layers import LogSoftmax
from ..modes import eval_mode
from ..module import Module
from ..parameter import to_device_of
from ..training.model_calls import call_model, hidden_for


class Canary:
    """A sentence that ends in random digits.

    Parameters
    ----------
    prefix : str
        The sentence before the digits.
    digits : int, 1 to 6
    rng : None, int or numpy.random.Generator

    Attributes
    ----------
    secret : str
        The digits.
    text : str
        The whole sentence.

    Examples
    --------
    >>> import nnscratch as nn
    >>> canary = nn.privacy.Canary("the code of anne is ", digits=2, rng=0)
    >>> canary.text
    'the code of anne is 86'
    >>> tokenizer = nn.data.CharTokenizer.from_text(canary.text + "0123456789")
    >>> model = nn.models.LanguageModel(len(tokenizer), 8, 16, rng=0)           # it has learned nothing
    >>> 0 <= canary.exposure(model, tokenizer) <= 6.65
    True
    """

    def __init__(self, prefix: str, digits: int = 4, *, rng: None | int | np.random.Generator = None):
        if not isinstance(prefix, str) or not prefix:
            raise ValueError(f"prefix must be the text before the digits, got {prefix!r}")
        if positive_int("digits", digits) > 6:
            raise ValueError(f"digits must be at most 6, since all 10^digits sentences are tried, got {digits}")
        self.prefix = prefix
        self.secret = "".join(str(d) for d in backend.generator(rng).integers(0, 10, digits))
        self.text = self.prefix + self.secret

    def exposure(self, model: Module, tokenizer: CharTokenizer) -> float:
        """Return the exposure of this canary in bits. The model starts from a zero state."""
        check_instance("Canary.exposure", "tokenizer", tokenizer, CharTokenizer)  # it has one token for each digit
        head = tokenizer.encode(self.prefix)
        digits = np.array([int(tokenizer.encode(d)[0]) for d in "0123456789"])
        tails = digits[np.array(list(itertools.product(range(10), repeat=len(self.secret))))]  # (R, digits)
        sequences = np.concatenate([np.broadcast_to(head, (len(tails), len(head))), tails], axis=1)
        return exposure(sequence_losses(model, sequences), int(self.secret))


def exposure(losses: Array, canary: int) -> float:
    """Return the exposure of one sentence in bits.

    Parameters
    ----------
    losses : array, shape (R,)
        The model's loss of each sentence: there is one sentence for each possible choice of the digits.
    canary : int
        The index of the sentence that was in the text. Every other sentence with an equal loss adds one half to
        the rank.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> losses = np.arange(1024.0)
    >>> nn.privacy.exposure(losses, canary=0), nn.privacy.exposure(losses, canary=1023)
    (10.0, 0.0)
    """
    losses, canary = backend.to_numpy(losses), count("canary", canary)
    if losses.ndim != 1 or not canary < len(losses):
        raise ValueError(f"canary must be the index of one of the losses, of shape (R,); got {canary}, {losses.shape}")
    if np.isnan(losses).any():
        raise ValueError("losses must be numbers, got NaN, which has no rank: are the model's weights finite?")
    own = losses[canary]
    rank = 1 + (losses < own).sum() + ((losses == own).sum() - 1) / 2
    return math.log2(len(losses)) - math.log2(rank)


def sequence_losses(model: Module, sequences: Array, batch_size: int = 500) -> np.ndarray:
    """Return the loss of each sequence of tokens: the sum of -log p of all its tokens except the first, in nats.

    Parameters
    ----------
    model : LanguageModel, TransformerLM or another model of the next token
    sequences : array of integers, shape (N, T)
    batch_size : int

    Returns
    -------
    array of float64, shape (N,)

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> model = nn.models.LanguageModel(10, 4, 8, rng=0)
    >>> nn.privacy.sequence_losses(model, np.array([[1, 2, 3], [4, 5, 6]])).shape
    (2,)
    """
    backend.array_module(sequences)  # raises TypeError for a list
    check_instance("sequence_losses", "model", model, Module)
    if sequences.ndim != 2 or sequences.shape[1] < 2:
        raise ValueError(f"sequences must be (N, T) with at least two tokens each, got shape {sequences.shape}")
    losses, log_softmax = np.empty(len(sequences)), LogSoftmax().eval()
    with eval_mode(model):
        for start in range(0, len(sequences), positive_int("batch_size", batch_size)):
            (batch,) = to_device_of(model, sequences[start : start + batch_size])
            inputs, targets = batch[:, :-1], batch[:, 1:]
            logits, _ = call_model(model, inputs, hidden_for(model, inputs, None))  # (B, T - 1, V)
            log_p = backend.array_module(logits).take_along_axis(log_softmax(logits), targets[..., None], axis=2)
            losses[start : start + batch_size] = backend.to_numpy(-log_p[..., 0].sum(axis=1))
    return losses
