"""Tokenizer: the base class of all tokenizers, which has the vocabulary.

A vocabulary is a tuple of tokens. The id of a token is its index in that tuple.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import numpy as np

from ...checks import check_regular_file, reason

UNK, EOS = "<unk>", "<eos>"
"""The token for an unknown word, and the token for the end of a sentence or line."""


class Tokenizer:
    """Base class of the tokenizers: a vocabulary, and ids that are checked against it.

    Parameters
    ----------
    vocabulary : iterable of str
        The tokens, each once.
    """

    level: str  # "char", "word", "split" or "bpe": to_dict() writes it, so that tokenizer_from_dict finds the class

    def __init__(self, vocabulary: Iterable[str]):
        self.vocabulary = tuple(vocabulary)
        """The tokens. The id of a token is its index here."""
        for token in self.vocabulary:
            if not isinstance(token, str) or not token:
                raise ValueError(f"vocabulary must hold non-empty strings, got {token!r}")
        self._ids = {token: number for number, token in enumerate(self.vocabulary)}
        if len(self._ids) != len(self.vocabulary):
            duplicate = Counter(self.vocabulary).most_common(1)[0][0]
            raise ValueError(f"vocabulary must hold each token once, got {duplicate!r} more than once")

    def __len__(self) -> int:
        return len(self.vocabulary)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self):,} tokens)"

    def id(self, token: str) -> int:
        """Return the id of one token.

        Raises
        ------
        ValueError
            The token is not in the vocabulary.
        """
        if token not in self._ids:
            raise ValueError(f"token {token!r} is not in the vocabulary of this {self!r}")
        return self._ids[token]

    def to_dict(self) -> dict[str, Any]:
        """Return the tokenizer as plain strings and lists, which JSON can store.

        :func:`tokenizer_from_dict` reads them.
        """
        return {"level": self.level, "vocabulary": list(self.vocabulary)}

    def save(self, path: str | os.PathLike) -> None:
        """Write the tokenizer to a file, as JSON. The write is atomic.

        Parameters
        ----------
        path : str or path

        Raises
        ------
        FileNotFoundError
            The folder of `path` does not exist.
        """
        from ...serialization import write_atomically  # imported here, because serialization imports this file

        write_atomically(path, json.dumps(self.to_dict(), ensure_ascii=False).encode("utf-8", "surrogatepass"))

    @classmethod
    def load(cls, path: str | os.PathLike) -> Self:
        """Return the tokenizer that :meth:`save` wrote to a file.

        Raises
        ------
        FileNotFoundError
            There is no such file.
        ValueError
            The file is damaged, or contains a tokenizer of another class.
        """
        check_regular_file(path)
        content = Path(path).read_bytes()
        try:
            saved = json.loads(content.decode("utf-8", "surrogatepass"))
            level, vocabulary = saved["level"], saved["vocabulary"]
        except (ValueError, LookupError, TypeError, RecursionError):
            raise ValueError(f"{path} is not a file that {cls.__name__}.save wrote") from None
        if level != cls.level:
            raise ValueError(f"{path} holds a tokenizer of level {level!r}, and {cls.__name__} reads {cls.level!r}")
        if not isinstance(vocabulary, list):
            raise ValueError(f"{path}: its vocabulary must be a list, got a {type(vocabulary).__name__}")
        try:
            return cls(vocabulary)
        except ValueError as error:
            raise ValueError(f"{path}: {reason(error)}") from None

    def _tokens(self, ids: Any) -> list[str]:
        """Return the tokens with these ids."""
        return [self.vocabulary[number] for number in self._checked(ids)]

    def _checked(self, ids: Any) -> list[int]:
        """Return the ids as a list, or raise if one of them is not the id of a token."""
        ids = np.asarray(ids)
        if ids.ndim != 1:
            raise ValueError(f"ids must be a sequence of shape (T,), got shape {ids.shape}")
        if ids.size and ids.dtype.kind not in "iu":
            raise TypeError(f"ids must be integers, got {ids.dtype}")
        if ids.size and (ids.min() < 0 or ids.max() >= len(self)):
            raise ValueError(f"ids must be in 0..{len(self) - 1}, got {int(ids.min())}..{int(ids.max())}")
        return ids.tolist()


def check_text(text: str) -> None:
    if not isinstance(text, str):
        raise TypeError(f"text must be a str, got {type(text).__name__}")
