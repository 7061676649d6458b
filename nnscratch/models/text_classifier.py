"""TextClassifier: one class for a whole sequence, from the outputs of an encoder.

    tokens (N, T) -> encoder -> h (N, T, D) -> one vector p (N, D) for each sequence -> Linear -> logits (N, C)

    pool="mean"     p_n = 1/T_n  sum over t < T_n of h_nt          dh_nt = dp_n / T_n for t < T_n, else 0
    pool="last"     p_n = h_nt with t = T_n - 1                    dh_nt = dp_n       for t = T_n - 1, else 0

T_n is the number of real tokens of sequence n. Padding adds nothing to p, and gets no gradient.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import check_instance, one_of, positive_int
from ..layers import Linear
from ..layers.segments import check_lengths
from ..module import Module
from .masked_lm import TransformerEncoder


class TextClassifier(Module):
    """A classifier of sequences of different lengths.

    Parameters
    ----------
    encoder : TransformerEncoder
        It may come from a trained `MaskedLM`: ``masked_lm.encoder``.
    num_classes : int
        The number of classes C.
    pool : {"mean", "last"}
        How to compute p from the outputs of a sequence: their mean, or the last output.
    rng : None, int or numpy.random.Generator
        The source of the last layer's weights.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> encoder = nn.models.TransformerEncoder(10, embed_size=8, num_heads=2, num_layers=1, context=5, rng=0)
    >>> model = nn.models.TextClassifier(encoder, num_classes=3, rng=1)
    >>> logits = model(np.array([[1, 2, 3], [4, 5, 0]]), np.array([3, 2]))
    >>> logits.shape
    (2, 3)
    >>> model.backward(np.ones_like(logits))
    """

    inputs_on_cpu = (1,)  # lengths
    arguments = ("num_classes", "pool")

    def __init__(
        self,
        encoder: TransformerEncoder,
        num_classes: int,
        pool: str = "mean",
        *,
        rng: None | int | np.random.Generator = None,
    ):
        check_instance("TextClassifier", "encoder", encoder, TransformerEncoder)
        self.encoder, self.num_classes = encoder, positive_int("num_classes", num_classes)
        self.pool = one_of("pool", pool, ("mean", "last"))
        self.linear = Linear(encoder.embed_size, num_classes, rng=rng)

    def constructor_modules(self) -> list[Module]:
        return [self.encoder]

    def forward(self, tokens: Array, lengths: Any = None) -> Array:
        """Return the scores of the classes, shape (N, C).

        Parameters
        ----------
        tokens : array of integers, shape (N, T)
        lengths : sequence of N integers in 1..T, optional
            The number of real tokens in each sequence. The tokens after them are padding.
        """
        h = self.encoder(tokens, lengths)  # (N, T, D)
        xp, (N, T) = backend.array_module(h), tokens.shape
        lengths = check_lengths(self, lengths, N, T)
        ends = np.full(N, T) if lengths is None else lengths
        if self.pool == "mean":
            weights = (np.arange(T) < ends[:, None]) / ends[:, None]  # (N, T)
        else:
            weights = np.arange(T) == ends[:, None] - 1
        weights = xp.asarray(weights.astype(h.dtype))
        p = (weights[:, None] @ h)[:, 0]  # (N, D)
        self.save_for_backward(weights)
        return self.linear(p)

    def backward(self, dlogits: Array) -> None:
        """Add the gradients of all weights. Tokens have no gradient."""
        dp = self.linear.backward(dlogits)  # (N, D)
        (weights,) = self.saved()
        self.encoder.backward(weights[:, :, None] * dp[:, None])  # (N, T, D)
