"""CharTokenizer: one token per character.

text  -> encode -> ids, an integer array of shape (T,)  -> decode -> the same text
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from .tokenizer import Tokenizer, check_text


class CharTokenizer(Tokenizer):
    """One token per character. Decoding an encoded text gives exactly that text.

    Parameters
    ----------
    vocabulary : iterable of str
        The characters, in ascending order. :meth:`from_text` collects them from a text.

    Raises
    ------
    ValueError
        The vocabulary is empty, is not in ascending order, or contains a string that is not one character.

    Examples
    --------
    >>> tokenizer = CharTokenizer.from_text("hello")
    >>> tokenizer.vocabulary
    ('e', 'h', 'l', 'o')
    >>> tokenizer.encode("hole")
    array([1, 3, 2, 0])
    >>> tokenizer.decode([1, 3, 2, 0])
    'hole'
    """

    level = "char"

    def __init__(self, vocabulary: Iterable[str]):
        super().__init__(vocabulary)
        for token in self.vocabulary:
            if len(token) != 1:
                raise ValueError(f"vocabulary must hold single characters, got {token!r}")
        if not self.vocabulary or list(self.vocabulary) != sorted(self.vocabulary):
            raise ValueError("vocabulary must hold at least one character, in ascending order")
        self._codes = _code_points("".join(self.vocabulary))  # (V,), ascending

    @classmethod
    def from_text(cls, text: str) -> CharTokenizer:
        """Return a tokenizer with every character of `text` in its vocabulary.

        Raises
        ------
        ValueError
            The text is empty.
        """
        check_text(text)
        if not text:
            raise ValueError("text is empty, so it has no characters for a vocabulary")
        return cls(sorted(set(text)))

    def encode(self, text: str) -> np.ndarray:
        """Return the id of every character.

        Returns
        -------
        ids : intp array, shape (T,)

        Raises
        ------
        ValueError
            A character is not in the vocabulary.
        """
        check_text(text)
        codes = _code_points(text)  # (T,)
        ids = np.searchsorted(self._codes, codes).astype(np.intp)  # a binary search for each character, in C
        unknown = self._codes[np.minimum(ids, len(self) - 1)] != codes
        if unknown.any():
            self._refuse(text, np.flatnonzero(unknown))
        return ids

    def _refuse(self, text: str, positions: np.ndarray) -> None:
        first: dict[str, int] = {}
        for position in positions.tolist():
            first.setdefault(text[position], position)
        shown = ", ".join(f"{character!r} at position {position}" for character, position in list(first.items())[:5])
        more = f" and {len(first) - 5} more" if len(first) > 5 else ""
        known = "".join(self.vocabulary[:100])
        raise ValueError(
            f"text has characters that are not in the vocabulary: {shown}{more}. "
            f"The vocabulary has {len(self)} characters: {known!r}{' ...' if len(self) > 100 else ''}"
        )

    def decode(self, ids: Any) -> str:
        """Return the text with these ids.

        Parameters
        ----------
        ids : integer array or list of int, shape (T,)

        Raises
        ------
        TypeError, ValueError
            `ids` is not a sequence of integers, or an id is out of range.
        """
        return "".join(self._tokens(ids))


def _code_points(text: str) -> np.ndarray:
    """Return the Unicode code points of the characters, a uint32 array of shape (T,)."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
