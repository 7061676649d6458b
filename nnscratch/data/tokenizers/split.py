"""SplitTokenizer: for a text whose tokens are already separated by spaces."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from ...checks import positive_int
from .tokenizer import EOS, UNK, Tokenizer, check_text


class SplitTokenizer(Tokenizer):
    """Each string between spaces is a token. The token ``<eos>`` marks the end of each line.

    Prepared corpora such as Mikolov's Penn Treebank have this form. If you keep these tokens unchanged, you can compare
    a perplexity with published perplexities.

    Parameters
    ----------
    vocabulary : iterable of str
        The tokens, ``<eos>`` among them. :meth:`from_text` collects them from a text.

    Raises
    ------
    ValueError
        The vocabulary contains a token twice, or does not contain ``<eos>``.

    Examples
    --------
    >>> tokenizer = SplitTokenizer.from_text("no it was n't\\nno\\n")
    >>> tokenizer.vocabulary
    ('<eos>', 'no', 'it', "n't", 'was')
    >>> tokenizer.encode("it was\\n")
    array([2, 4, 0])
    >>> tokenizer.decode([2, 4, 0])
    'it was\\n'
    """

    level = "split"

    def __init__(self, vocabulary: Iterable[str]):
        super().__init__(vocabulary)
        if EOS not in self._ids:
            raise ValueError(f"vocabulary must hold {EOS}")

    @classmethod
    def from_text(cls, text: str, max_size: int | None = None) -> SplitTokenizer:
        """Return a tokenizer with the tokens of `text` in its vocabulary.

        Parameters
        ----------
        text : str
        max_size : int, optional
            Keep only the `max_size` most frequent tokens, including ``<unk>`` and ``<eos>``.

        Raises
        ------
        ValueError
            The text contains no token. Or the text has more than `max_size` different tokens, but no ``<unk>`` to
            replace the other tokens. Or the text has more than `max_size` different tokens, and `max_size` is below 3.
        """
        counts = Counter({EOS: 0})  # EOS is in the vocabulary even if the text is a single line
        counts.update(cls.tokenize(text))
        if not counts.keys() - {EOS}:
            raise ValueError("text holds no tokens, and a vocabulary needs at least one")
        ranked = [token for _, token in sorted((-count, token) for token, count in counts.items())]
        if max_size is not None and positive_int("max_size", max_size) < len(ranked):
            if UNK not in counts:
                raise ValueError(
                    f"text has {len(ranked)} different tokens and max_size is {max_size}, but the text holds no {UNK} "
                    f"to replace the others"
                )
            if max_size < 3:
                raise ValueError(
                    f"max_size includes {UNK}, {EOS} and at least one token: it must be 3 or more, got {max_size}"
                )
            ranked = [*(token for token in ranked if token not in (UNK, EOS))][: max_size - 2] + [UNK, EOS]
        return cls(ranked)

    @staticmethod
    def tokenize(text: str) -> list[str]:
        """Split `text` into tokens, with ``<eos>`` for the end of each line."""
        check_text(text)
        return text.replace("\n", f" {EOS} ").split()

    def encode(self, text: str) -> np.ndarray:
        """Return the id of every token. A token that is not in the vocabulary gets the id of ``<unk>``.

        Returns
        -------
        ids : intp array, shape (T,)

        Raises
        ------
        ValueError
            A token of the text is not in the vocabulary, and ``<unk>`` is not in the vocabulary either.
        """
        unknown = self._ids.get(UNK)
        ids = [self._ids.get(token, unknown) for token in self.tokenize(text)]
        if None in ids:
            raise ValueError(f"token {self.tokenize(text)[ids.index(None)]!r} is not in the vocabulary, nor is {UNK}")
        return np.array(ids, dtype=np.intp)

    def decode(self, ids: Any) -> str:
        """Return the tokens with spaces between them, and a line break for each ``<eos>``.

        Raises
        ------
        TypeError, ValueError
            `ids` is not a sequence of integers, or an id is out of range.
        """
        return re.sub(rf" ?(?<!\S){EOS}(?!\S) ?", "\n", " ".join(self._tokens(ids)))
