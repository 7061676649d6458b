"""MaskedBatches: parts of a text with some hidden tokens, for a model that predicts the hidden tokens.

    text        t h e _ h o u s e          of all tokens, 15 % are chosen at random
    inputs      t # e _ h o k s e          80 % of those become the mask #, 10 % a random token, 10 % stay as they are
    targets     . h . . . . u . .          the chosen tokens. Everywhere else, the target is -100: the loss ignores it

The chosen tokens do not always become the mask, because the input has no masks when you use the model later. A token
without a mask may be wrong too, so the model learns to use the context of every token.

Reference: Devlin, Chang, Lee and Toutanova (2019), "BERT: pre-training of deep bidirectional transformers for language
understanding", arXiv:1810.04805.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .. import backend
from ..checks import positive_int, probability
from .batches import _token_ids

IGNORED = -100


class MaskedBatches:
    """Sequences of a text with hidden tokens. Iterate over the object to get pairs (inputs, targets).

    Each iteration is one epoch: the sequences come in a new random order, and different tokens are hidden. Use the
    batches with ``CrossEntropyLoss(ignore_index=-100)``.

    Parameters
    ----------
    tokens : integer array or list of int, shape (length,)
        The ids of the text. The text is cut into sequences of `seq_len` tokens. Its last tokens are not used if they do
        not fill a sequence.
    batch_size, seq_len : int
        N, the number of sequences in a batch, and T, the number of tokens in a sequence.
    mask : int
        The id that hides a token. It must be larger than all ids of the text.
    p : float, 0 < p < 1
        The fraction of the tokens that the model must predict.
    rng : None, int or numpy.random.Generator

    Raises
    ------
    ValueError
        The text has fewer than `seq_len` tokens, `mask` is not larger than all ids, or p is not between 0 and 1.

    Examples
    --------
    >>> batches = MaskedBatches(range(12), batch_size=1, seq_len=6, mask=99, p=0.3, rng=1)
    >>> for inputs, targets in batches:
    ...     print(inputs[0], targets[0])
    [ 0 99  2  3  4  5] [-100    1 -100 -100 -100 -100]
    [ 6  7  8 99 10 11] [-100 -100 -100    9 -100   11]
    """

    def __init__(
        self,
        tokens: Any,
        batch_size: int,
        seq_len: int,
        mask: int,
        p: float = 0.15,
        rng: None | int | np.random.Generator = None,
    ):
        self.batch_size, self.seq_len = positive_int("batch_size", batch_size), positive_int("seq_len", seq_len)
        self.p, self.rng, tokens = probability("p", p), backend.generator(rng), _token_ids(tokens)
        if not p:
            raise ValueError("p must be above 0: otherwise no token is hidden, and the loss has no target")
        if len(tokens) < seq_len:
            raise ValueError(f"the text has {len(tokens)} tokens, fewer than seq_len={seq_len}")
        self.mask = positive_int("mask", mask)
        if tokens.max() >= mask:
            raise ValueError(f"mask must be larger than all ids of the text, which go up to {tokens.max()}; got {mask}")
        self.sequences = tokens[: len(tokens) // seq_len * seq_len].reshape(-1, seq_len)

    def __len__(self) -> int:
        return -(-len(self.sequences) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        order = self.rng.permutation(len(self.sequences))
        for start in range(0, len(order), self.batch_size):
            tokens = self.sequences[order[start : start + self.batch_size]]  # (N, T)
            chosen = self.rng.random(tokens.shape) < self.p
            chosen[0, 0] |= not chosen.any()  # a batch without any target has no loss
            what = self.rng.random(tokens.shape)
            inputs = np.where(chosen & (what < 0.8), self.mask, tokens)
            replaced = chosen & (what >= 0.8) & (what < 0.9)
            inputs[replaced] = self.rng.integers(self.mask, size=int(replaced.sum()))
            yield inputs, np.where(chosen, tokens, IGNORED)
