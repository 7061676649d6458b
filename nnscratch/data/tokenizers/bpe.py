"""BPETokenizer: the tokens of GPT-2, byte-level BPE.

text  -> split into words  -> UTF-8 bytes  -> merge  -> ids, an integer array of shape (T,)  -> decode -> the same text

1. ``pretokenize.py`` splits the text into words. A merge never crosses the border between two words.
2. Each word becomes its UTF-8 bytes. The vocabulary contains all 256 bytes, so no text has an unknown token.
3. ``merges.py`` replaces pairs of neighbours by longer tokens, in the order in which the merges were learned.

``hugging_face.py`` reads and writes the files.

References: Gage (1994), "A new algorithm for data compression", The C Users Journal 12(2),
https://www.drdobbs.com/a-new-algorithm-for-data-compression/184402829. Sennrich, Haddow and Birch (2016), "Neural
machine translation of rare words with subword units", arXiv:1508.07909. Radford, Wu, Child, Luan, Amodei and Sutskever
(2019), "Language models are unsupervised multitask learners",
https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf (for the bytes
and the pattern).
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from ...checks import check_regular_file, positive_int, reason
from . import hugging_face
from .hugging_face import SYMBOLS
from .merges import apply_merges, learn_merges
from .pretokenize import split_words
from .tokenizer import Tokenizer, check_text

MAX_CACHED_WORDS = 2**17
_TO_SYMBOLS = dict(enumerate(SYMBOLS))
_TO_BYTE = {symbol: byte for byte, symbol in enumerate(SYMBOLS)}


class BPETokenizer(Tokenizer):
    """Byte-level BPE: frequent words are one token, and rare words are several. Every text can be encoded.

    Use :meth:`from_text` to learn the tokens from a text, and :meth:`load` to read the files of GPT-2. The library
    `tokenizers <https://github.com/huggingface/tokenizers>`_ gives the same ids.

    Parameters
    ----------
    vocabulary : iterable of str
        The tokens. Each byte is written as one visible character: a space is ``Ġ``, a line break is ``Ċ``. All 256
        bytes must be among the tokens.
    merges : iterable of (str, str)
        The pairs of tokens to merge, in the order in which to merge them.
    special_tokens : iterable of str
        Tokens such as ``<|endoftext|>``. Their characters do not represent bytes. Each occurrence in a text becomes one
        token.

    Raises
    ------
    ValueError
        The vocabulary lacks a byte, a special token, or a token that a merge joins or makes.

    Examples
    --------
    >>> tokenizer = BPETokenizer.from_text("low lower lowest", vocab_size=259)
    >>> tokenizer.merges
    (('l', 'o'), ('lo', 'w'), ('Ġ', 'low'))
    >>> tokenizer.encode("low lows")
    array([257, 258,  82])
    >>> tokenizer.tokenize("low lows")
    ['low', 'Ġlow', 's']
    >>> tokenizer.decode([257, 258, 82])
    'low lows'

    Every text is made of bytes, so every text has tokens:

    >>> tokenizer.encode("é")
    array([127, 102])
    """

    level = "bpe"

    def __init__(
        self, vocabulary: Iterable[str], merges: Iterable[tuple[str, str]], special_tokens: Iterable[str] = ()
    ):
        super().__init__(vocabulary)
        self.merges = tuple((left, right) for left, right in merges)
        """The pairs to merge, in the order of their ranks."""
        self.special_tokens = _checked_special_tokens(special_tokens)
        """The special tokens."""
        for token in self.special_tokens:
            if token not in self._ids:
                raise ValueError(f"the special token {token!r} is not in the vocabulary")
        missing = [byte for byte, symbol in enumerate(SYMBOLS) if symbol not in self._ids]
        if missing:
            raise ValueError(
                f"vocabulary must hold all 256 bytes; it lacks {len(missing)}, the first of them byte {missing[0]}, "
                f"written {SYMBOLS[missing[0]]!r}"
            )
        special = frozenset(self.special_tokens)
        self._bytes = [token.encode() if token in special else _bytes_of(token) for token in self.vocabulary]
        self._id_of_byte = [self._ids[symbol] for symbol in SYMBOLS]
        self._ranks: dict[tuple[int, int], tuple[int, int]] = {}  # pair of ids: its rank and the id of the result
        for rank, (left, right) in enumerate(self.merges):
            for token in (left, right, left + right):
                if token not in self._ids:
                    raise ValueError(f"merge {rank}, {left!r} and {right!r}: {token!r} is not in the vocabulary")
            self._ranks[self._ids[left], self._ids[right]] = rank, self._ids[left + right]
        if len(self._ranks) != len(self.merges):
            pair = Counter(self.merges).most_common(1)[0][0]
            raise ValueError(f"merges must hold each pair once, got {pair} more than once")
        longest_first = sorted(self.special_tokens, key=len, reverse=True)
        self._special = re.compile(f"({'|'.join(map(re.escape, longest_first))})") if longest_first else None
        self._cache: dict[str, list[int]] = {}  # the ids of words that were encoded before

    @classmethod
    def from_text(cls, text: str, vocab_size: int, special_tokens: Iterable[str] = ()) -> BPETokenizer:
        """Learn the merges from `text`, and return a tokenizer with them.

        The vocabulary is the special tokens, then the 256 bytes, then one token for each merge.
        ``tokenizers.trainers.BpeTrainer`` gives the same result if its initial alphabet is all bytes.

        Parameters
        ----------
        text : str
        vocab_size : int
            The number of tokens, including the 256 bytes and the special tokens. The vocabulary is smaller if every
            word of the text has become one token before this number is reached.
        special_tokens : iterable of str
            Tokens to add. In `text`, they have no special meaning: the merges are learned from their characters.

        Raises
        ------
        ValueError
            The text is empty or `vocab_size` is too small.
        """
        check_text(text)
        if not text:
            raise ValueError("text is empty, so there is nothing to learn merges from")
        specials = _checked_special_tokens(special_tokens)
        smallest = 256 + len(specials)
        if positive_int("vocab_size", vocab_size) < smallest:
            raise ValueError(
                f"vocab_size includes the 256 bytes and the {len(specials)} special tokens: it must be {smallest} or "
                f"more, got {vocab_size}"
            )
        _check_unicode(text)
        vocabulary = [*specials, *sorted(SYMBOLS)]
        words = {_to_symbols(word.encode()): count for word, count in Counter(split_words(text)).items()}
        merges = learn_merges(words, vocabulary, vocab_size)
        return cls(vocabulary, merges, specials)

    def encode(self, text: str) -> np.ndarray:
        """Return the ids of the tokens. :meth:`decode` returns exactly `text`.

        Returns
        -------
        ids : intp array, shape (T,)

        Raises
        ------
        TypeError
            `text` is not a str.
        ValueError
            The text contains half of a surrogate pair, which is not a character and has no UTF-8 bytes.
        """
        check_text(text)
        _check_unicode(text)
        return self._encode(text)

    def encode_bytes(self, data: bytes) -> np.ndarray:
        """Return the ids of the tokens of any bytes. :meth:`decode_bytes` returns exactly `data`.

        For the UTF-8 bytes of a text, :meth:`encode` returns the same ids. Bytes that are not UTF-8 are treated as
        punctuation marks when the text is split into words.

        Returns
        -------
        ids : intp array, shape (T,)
        """
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"data must be bytes, got {type(data).__name__}; encode takes a str")
        return self._encode(bytes(data).decode("utf-8", "surrogateescape"))

    def _encode(self, text: str) -> np.ndarray:
        """Return the ids of a text. A lone surrogate in it represents a byte that is not UTF-8."""
        pieces: list[list[int]] = []
        for number, part in enumerate(self._special.split(text) if self._special else [text]):
            if number % 2:  # re.split returns texts and special tokens in turns: text, token, text, ...
                pieces.append([self._ids[part]])
                continue
            words = split_words(part)
            for word in set(words).difference(self._cache):
                data = word.encode("utf-8", "surrogateescape")
                self._cache[word] = apply_merges([self._id_of_byte[byte] for byte in data], self._ranks)
            pieces += map(self._cache.__getitem__, words)
            if len(self._cache) > MAX_CACHED_WORDS:
                self._cache.clear()
        return np.fromiter(chain.from_iterable(pieces), dtype=np.intp)

    def tokenize(self, text: str) -> list[str]:
        """Return the tokens of `text` as they are in the vocabulary."""
        return self._tokens(self.encode(text))

    def decode(self, ids: Any) -> str:
        """Return the text with these ids.

        A token can end in the middle of a character. Bytes that are not a whole character become ``\\ufffd``.

        Parameters
        ----------
        ids : integer array or list of int, shape (T,)

        Raises
        ------
        TypeError, ValueError
            `ids` is not a sequence of integers, or an id is out of range.
        """
        return self.decode_bytes(ids).decode("utf-8", "replace")

    def decode_bytes(self, ids: Any) -> bytes:
        """Return the bytes of the tokens with these ids."""
        return b"".join([self._bytes[number] for number in self._checked(ids)])

    def count_characters(self, ids: Any) -> int:
        """Return the number of characters that begin in the tokens with these ids.

        If you divide the sum of the losses by this number, you can compare the result with the loss of a character
        model.
        """
        data = np.frombuffer(self.decode_bytes(ids), dtype=np.uint8)
        # Count the first byte of each character. In UTF-8, all other bytes of a character begin with the bits 10.
        return int(np.count_nonzero(data & 0b1100_0000 != 0b1000_0000))

    def id(self, token: str) -> int:
        """Return the id of one token, written as in the vocabulary: ``Ġthe`` is "the" with a space before it.

        Raises
        ------
        ValueError
            The token is not in the vocabulary.
        """
        if isinstance(token, str) and token not in self._ids:
            written = _to_symbols(token.encode("utf-8", "replace"))
            if written in self._ids:
                raise ValueError(f"token {token!r} is written {written!r} in the vocabulary of this {self!r}")
        return super().id(token)

    # --- files -------------------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Return the content of a file tokenizer.json. :func:`tokenizer_from_dict` reads it."""
        return hugging_face.to_json(self.vocabulary, self.merges, self.special_tokens)

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> BPETokenizer:
        """Return the tokenizer that :meth:`to_dict` or a file tokenizer.json describes."""
        return cls(*hugging_face.from_json(saved))

    def save(self, path: str | os.PathLike) -> None:
        """Write the tokenizer in the file formats that Hugging Face's libraries read.

        Parameters
        ----------
        path : str or path
            A file that ends in ``.json``, or a folder. In a folder, the files are tokenizer.json, vocab.json and
            merges.txt. The folder is made if it does not exist.
        """
        from ...serialization import write_atomically  # imported here, because serialization imports this file

        path = Path(path)
        content = self.to_dict()
        if path.suffix == ".json":
            write_atomically(path, _as_json(content))
            return
        path.mkdir(parents=True, exist_ok=True)
        lines = [hugging_face.VERSION, *content["model"]["merges"]]
        write_atomically(path / "tokenizer.json", _as_json(content))
        write_atomically(path / "vocab.json", _as_json(content["model"]["vocab"]))
        write_atomically(path / "merges.txt", ("\n".join(lines) + "\n").encode())

    @classmethod
    def load(cls, path: str | os.PathLike) -> BPETokenizer:
        """Read a tokenizer that :meth:`save` or Hugging Face's libraries wrote.

        Parameters
        ----------
        path : str or path
            A file tokenizer.json, or a folder with tokenizer.json, or with vocab.json and merges.txt. The entries
            "truncation" and "padding" of tokenizer.json are ignored: texts are neither cut nor padded.

        Raises
        ------
        FileNotFoundError
            There are no such files.
        ValueError
            A file is damaged, or the tokenizer is not GPT-2's kind of BPE.
        """
        path = Path(path)
        read, files = hugging_face.read_tokenizer_json, [path]
        if path.is_dir():
            files = [path / "tokenizer.json"]
            if not files[0].is_file():
                read, files = hugging_face.read_vocab_and_merges, [path / "vocab.json", path / "merges.txt"]
                if not all(file.is_file() for file in files):
                    raise FileNotFoundError(f"{path} must contain tokenizer.json, or vocab.json and merges.txt")
        for file in files:
            check_regular_file(file)
        try:
            return cls(*read(*files))
        except ValueError as error:
            named = " or ".join(map(str, files))
            raise ValueError(f"{named} is not a tokenizer that can be read: {reason(error)}") from None


def _bytes_of(token: str) -> bytes:
    """Return the bytes that a token represents. It must not be a special token."""
    try:
        return bytes(_TO_BYTE[symbol] for symbol in token)
    except KeyError as error:
        raise ValueError(
            f"the token {token!r} holds {error.args[0]!r}, which represents no byte. If the token is special, "
            f"add it to special_tokens"
        ) from None


def _checked_special_tokens(special_tokens: Iterable[str]) -> tuple[str, ...]:
    if isinstance(special_tokens, str):
        raise TypeError(f"special_tokens must be a list of strings, got the string {special_tokens!r}")
    tokens = tuple(special_tokens)
    for token in tokens:
        if not isinstance(token, str) or not token:
            raise ValueError(f"special_tokens must be non-empty strings, got {token!r}")
        if token in _TO_BYTE:
            raise ValueError(f"special_tokens must be longer than one byte, got {token!r}")
        _check_unicode(token)
    if len(set(tokens)) != len(tokens):
        raise ValueError(f"special_tokens must hold each token once, got {list(tokens)}")
    return tokens


def _check_unicode(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"text holds {text[error.start]!r} at position {error.start}, half of a surrogate pair, which has no UTF-8 "
            f"bytes. Use encode_bytes for bytes that are not UTF-8"
        ) from None


def _to_symbols(data: bytes) -> str:
    return data.decode("latin-1").translate(_TO_SYMBOLS)


def _as_json(content: Any) -> bytes:
    return (json.dumps(content, ensure_ascii=False, indent=1) + "\n").encode()
