"""Text to token ids and back: by character or by word.

    text  -> encode -> ids, an int64 array of shape (T,)  -> decode -> text

A vocabulary is a tuple of tokens, and an id is a place in it. A character tokenizer loses nothing. A word tokenizer
gives up capitals and spacing, and turns rare words into ``<unk>``, so that far fewer steps cover the same text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..checks import positive_int

UNK, EOS = "<unk>", "<eos>"


class _Tokenizer:
    """What the two have in common: a vocabulary, and ids that are checked against it."""

    level: str  # "char" or "word": how to_dict says which class it was

    def __init__(self, vocabulary: Iterable[str]):
        self.vocabulary = tuple(vocabulary)
        """The tokens; a token's id is its place here."""
        for token in self.vocabulary:
            if not isinstance(token, str) or not token:
                raise ValueError(f"vocabulary must hold strings that are not empty, got {token!r}")
        self._ids = {token: number for number, token in enumerate(self.vocabulary)}
        if len(self._ids) != len(self.vocabulary):
            twice = Counter(self.vocabulary).most_common(1)[0][0]
            raise ValueError(f"vocabulary must hold each token once, got {twice!r} more than once")

    def __len__(self) -> int:
        return len(self.vocabulary)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self):,} tokens)"

    def id(self, token: str) -> int:
        """The id of one token.

        Raises
        ------
        ValueError
            The token is not in the vocabulary.
        """
        if token not in self._ids:
            raise ValueError(f"token {token!r} is not in the vocabulary of this {self!r}")
        return self._ids[token]

    def to_dict(self) -> dict[str, Any]:
        """The tokenizer in plain strings and lists, for a JSON file; :func:`tokenizer_from_dict` reads it."""
        return {"level": self.level, "vocabulary": list(self.vocabulary)}

    def _tokens(self, ids: Any) -> list[str]:
        """The tokens that `ids` stand for."""
        ids = np.asarray(ids)
        if ids.ndim != 1:
            raise ValueError(f"ids must be a sequence, shape (T,), got shape {ids.shape}")
        if ids.size and ids.dtype.kind not in "iu":
            raise TypeError(f"ids must be integers, got {ids.dtype}")
        if ids.size and (ids.min() < 0 or ids.max() >= len(self)):
            raise ValueError(f"ids must be in 0..{len(self) - 1}, got {int(ids.min())}..{int(ids.max())}")
        return [self.vocabulary[number] for number in ids.tolist()]


def _check_text(text: str) -> None:
    if not isinstance(text, str):
        raise TypeError(f"text must be a str, got {type(text).__name__}")


class CharTokenizer(_Tokenizer):
    """One token a character.

    Parameters
    ----------
    vocabulary : iterable of str
        The characters, in ascending order. :meth:`from_text` finds them.

    Raises
    ------
    ValueError
        The vocabulary is empty, out of order, or holds something that is not one character.

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
        """A tokenizer that knows every character of `text`.

        Raises
        ------
        ValueError
            The text is empty.
        """
        _check_text(text)
        if not text:
            raise ValueError("text is empty: there is no character to learn from")
        return cls(sorted(set(text)))

    def encode(self, text: str) -> np.ndarray:
        """The id of every character.

        Returns
        -------
        ids : int64 array, shape (T,)

        Raises
        ------
        ValueError
            A character is not in the vocabulary.
        """
        _check_text(text)
        codes = _code_points(text)  # (T,)
        ids = np.searchsorted(self._codes, codes).astype(np.int64)  # one binary search a character, all in C
        unknown = self._codes[np.minimum(ids, len(self) - 1)] != codes
        if unknown.any():
            self._refuse(text, np.flatnonzero(unknown))
        return ids

    def _refuse(self, text: str, places: np.ndarray) -> None:
        first: dict[str, int] = {}
        for place in places.tolist():
            first.setdefault(text[place], place)
        shown = ", ".join(f"{character!r} at position {place}" for character, place in list(first.items())[:5])
        more = f" and {len(first) - 5} more" if len(first) > 5 else ""
        known = "".join(self.vocabulary[:100])
        raise ValueError(
            f"text has characters that the tokenizer does not know: {shown}{more}. "
            f"It knows {len(self)}: {known!r}{' ...' if len(self) > 100 else ''}"
        )

    def decode(self, ids: Any) -> str:
        """The text that `ids` stand for.

        Parameters
        ----------
        ids : integer array or list of int, shape (T,)

        Raises
        ------
        TypeError, ValueError
            Not a sequence of integers, or an id out of range.
        """
        return "".join(self._tokens(ids))


def _code_points(text: str) -> np.ndarray:
    """The Unicode numbers of the characters: four bytes each, read as one array."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


ABBREVIATIONS = tuple("mr. mrs. ms. messrs. dr. prof. rev. hon. st. capt. col. gen. lieut. esq. jun. etc. &c.".split())
"""Words whose full stop belongs to them and ends no sentence."""

CLOSING = frozenset(",.;:!?)]}”’…%")  # written without a space before
OPENING = frozenset("([{“‘£$")  # written without a space after
_DASHES = frozenset("-—")  # written without any
_END = frozenset(".!?")
_CLOSE_END = frozenset("”’)]")  # may stand between a full stop and the end of the sentence

_ABBREVIATION = rf"(?<![\w'])(?:{'|'.join(map(re.escape, ABBREVIATIONS))})"
_INNER_APOSTROPHE = re.compile(r"(?<=\w)’(?=\w)")
_STRAIGHT_OPENING = r"(?<![^\s(\[{“‘'\"–—-])%s(?=[^\s.,;:!?)\]}])"  # after a space or an opening, before a word
_OPENING_DOUBLE, _OPENING_SINGLE = (re.compile(_STRAIGHT_OPENING % mark) for mark in "\"'")
_CLOSING_SINGLE = re.compile(r"(?<!\w)'|'(?!\w)")
# The whole run is taken, whatever follows, so that a long one is not looked at again from each of its marks.
_SENTENCE_END = re.compile(rf"({_ABBREVIATION})|[.!?]++[”’)\]]*+(?=(\s|$)?)")
_SEVERAL_ENDS = re.compile(rf"{EOS}(?:\s*{EOS})+")
_TOKEN = re.compile(rf"{UNK}|{EOS}|{_ABBREVIATION}|\w+(?:'\w+)*|-+|[^\w\s]")


class WordTokenizer(_Tokenizer):
    """Words and punctuation marks, lower-cased; rare words become ``<unk>``; ``<eos>`` follows each sentence.

    The rules, all of them:

    - A word is a run of letters and digits; an apostrophe inside it belongs to it (``don't``). Any other mark is a
      token of its own, a run of hyphens is one token, and so are the words of :data:`ABBREVIATIONS` with their
      full stop (``mr.``).
    - Straight quotation marks become opening and closing ones (``“ ”``), which tell a model where speech begins.
      Underscores, Project Gutenberg's italics, are dropped.
    - A sentence ends at ``.``, ``!`` or ``?``, and the closing quotes or brackets right after it, where a space or
      the end of the text follows. ``<eos>`` is put there; several in a row count as one.
    - ``<unk>`` and ``<eos>`` written in the text are these tokens, so prepared corpora can be read too.

    Parameters
    ----------
    vocabulary : iterable of str
        ``<unk>``, ``<eos>``, then the words. :meth:`from_text` finds them.

    Raises
    ------
    ValueError
        The vocabulary does not begin so, or holds a token twice.

    Examples
    --------
    >>> tokenizer = WordTokenizer.from_text("The cat sat. The dog sat, too.", max_size=6)
    >>> tokenizer.vocabulary
    ('<unk>', '<eos>', '.', 'sat', 'the', ',')
    >>> tokenizer.encode("The bird sat.")
    array([4, 0, 3, 2, 1])
    >>> tokenizer.decode([4, 0, 3, 2, 1])
    'the <unk> sat.'
    """

    level = "word"

    def __init__(self, vocabulary: Iterable[str]):
        super().__init__(vocabulary)
        if self.vocabulary[:2] != (UNK, EOS):
            raise ValueError(f"vocabulary must begin with {UNK} and {EOS}, got {self.vocabulary[:2]}")

    @classmethod
    def from_text(cls, text: str, min_count: int = 1, max_size: int | None = None) -> WordTokenizer:
        """A tokenizer that knows the commonest words of `text`.

        Parameters
        ----------
        text : str
        min_count : int
            Words seen less often are left out.
        max_size : int, optional
            The most tokens in the vocabulary, ``<unk>`` and ``<eos>`` among them.

        Raises
        ------
        ValueError
            The text holds no word, no word comes up `min_count` times, or a number is out of range.
        """
        min_count = positive_int("min_count", min_count)
        if max_size is not None and positive_int("max_size", max_size) < 3:
            raise ValueError(f"max_size must leave room for {UNK}, {EOS} and one word: 3 or more, got {max_size}")
        counts = Counter(cls.tokenize(text))
        del counts[UNK], counts[EOS]
        if not counts:
            raise ValueError("text holds no word to learn from")
        ranked = sorted((-count, word) for word, count in counts.items() if count >= min_count)
        if not ranked:
            raise ValueError(f"min_count is {min_count}, and no word of the text comes up so often")
        return cls([UNK, EOS, *(word for _, word in ranked)][:max_size])

    @staticmethod
    def tokenize(text: str) -> list[str]:
        """The words, marks and ``<eos>`` of `text`, before a vocabulary is asked.

        Examples
        --------
        >>> WordTokenizer.tokenize('"Why, Mr. Bennet!" She didn\\'t _know_.')
        ['“', 'why', ',', 'mr.', 'bennet', '!', '”', '<eos>', 'she', "didn't", 'know', '.', '<eos>']
        """
        _check_text(text)
        text = text.lower().replace("_", "")
        text = _INNER_APOSTROPHE.sub("'", text)
        text = _OPENING_DOUBLE.sub("“", text).replace('"', "”")
        text = _CLOSING_SINGLE.sub("’", _OPENING_SINGLE.sub("‘", text))
        text = _SENTENCE_END.sub(lambda found: found[0] if found[2] is None else f"{found[0]} {EOS} ", text)
        return _TOKEN.findall(_SEVERAL_ENDS.sub(EOS, text))

    def encode(self, text: str) -> np.ndarray:
        """The id of every token; a word that is not in the vocabulary gets that of ``<unk>``, 0.

        A text that stops in the middle of a sentence gets no ``<eos>``, so it can be gone on with.

        Returns
        -------
        ids : int64 array, shape (T,)
        """
        find = self._ids.get
        return np.array([find(token, 0) for token in self.tokenize(text)], dtype=np.int64)

    def decode(self, ids: Any) -> str:
        """Readable text: spaces where English puts them, ``<eos>`` shown only where no full stop says it.

        Encoding that text again gives the same ids, except that several ``<eos>`` in a row become one, and that one is
        added where the ids end in a full stop without it. The text of the first k ids is the beginning of the text of
        all, so a text can be shown while it is being written.

        Parameters
        ----------
        ids : integer array or list of int, shape (T,)

        Raises
        ------
        TypeError, ValueError
            Not a sequence of integers, or an id out of range.
        """
        text: list[str] = []
        left = ""
        ended = False  # what is written so far ends in a full stop, and any closing quotes
        for token in self._tokens(ids):
            if token == EOS and ended:  # the space that follows will say it
                left, ended = EOS, False
                continue
            glued = not left or _glued(left, token) or (ended and left != EOS)
            text += [token] if glued else [" ", token]
            ended = token in _END or (ended and token in _CLOSE_END)
            left = token
        return "".join(text)


def _glued(left: str, right: str) -> bool:
    """Whether `right` is written right after `left`, without a space."""
    if left == EOS or right == "." and f"{left}." in ABBREVIATIONS:
        return False
    if left[0] in _DASHES or right[0] in _DASHES:
        return not left[0] == right[0] == "-"  # two runs of hyphens written together would be one
    return left in OPENING or right in CLOSING


class SplitTokenizer(_Tokenizer):
    """For a text that is cut into tokens already: whatever stands between blanks, and ``<eos>`` for the end of a line.

    The form in which prepared corpora come, such as Mikolov's Penn Treebank, where nothing more may be changed if
    perplexities are to be compared with published ones.

    Parameters
    ----------
    vocabulary : iterable of str
        Holds ``<eos>``; :meth:`from_text` finds the others.

    Raises
    ------
    ValueError
        The vocabulary holds a token twice, or no ``<eos>``.

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
        """A tokenizer that knows the tokens of `text`: the `max_size` commonest, if so many are too many.

        Raises
        ------
        ValueError
            The text holds no token, or tokens had to be left out and there is no ``<unk>`` to stand for them, or no
            room for one token beside it.
        """
        counts = Counter({EOS: 0})  # is in the vocabulary even if the text is one line
        counts.update(cls.tokenize(text))
        if not counts.keys() - {EOS}:
            raise ValueError("text holds no token to learn from")
        ranked = [token for _, token in sorted((-count, token) for token, count in counts.items())]
        if max_size is not None and positive_int("max_size", max_size) < len(ranked):
            if UNK not in counts:
                raise ValueError(
                    f"text has {len(ranked)} different tokens and max_size is {max_size}, but no {UNK} in it says what "
                    f"becomes of the others"
                )
            if max_size < 3:
                raise ValueError(f"max_size must leave room for {UNK}, {EOS} and one token: 3 or more, got {max_size}")
            ranked = [*(token for token in ranked if token not in (UNK, EOS))][: max_size - 2] + [UNK, EOS]
        return cls(ranked)

    @staticmethod
    def tokenize(text: str) -> list[str]:
        """The tokens of `text`, ``<eos>`` for every line's end."""
        _check_text(text)
        return text.replace("\n", f" {EOS} ").split()

    def encode(self, text: str) -> np.ndarray:
        """The id of every token; one that is not in the vocabulary gets that of ``<unk>``, if there is one.

        Returns
        -------
        ids : int64 array, shape (T,)

        Raises
        ------
        ValueError
            A token is not in the vocabulary, nor is ``<unk>``.
        """
        unknown = self._ids.get(UNK)
        ids = [self._ids.get(token, unknown) for token in self.tokenize(text)]
        if None in ids:
            raise ValueError(f"token {self.tokenize(text)[ids.index(None)]!r} is not in the vocabulary, nor is {UNK}")
        return np.array(ids, dtype=np.int64)

    def decode(self, ids: Any) -> str:
        """The tokens with blanks between, a new line for each ``<eos>``.

        Raises
        ------
        TypeError, ValueError
            Not a sequence of integers, or an id out of range.
        """
        return re.sub(rf" ?(?<!\S){EOS}(?!\S) ?", "\n", " ".join(self._tokens(ids)))


def tokenizer_from_dict(saved: dict[str, Any]) -> CharTokenizer | WordTokenizer | SplitTokenizer:
    """The tokenizer that ``to_dict`` wrote.

    Raises
    ------
    ValueError
        It is no such dictionary.

    Examples
    --------
    >>> tokenizer_from_dict(CharTokenizer.from_text("hello").to_dict())
    CharTokenizer(4 tokens)
    """
    if not isinstance(saved, dict) or not isinstance(saved.get("vocabulary"), list):
        raise ValueError('saved must be a dictionary with "level" and a list "vocabulary", as to_dict() makes it')
    for tokenizer in (CharTokenizer, WordTokenizer, SplitTokenizer):
        if saved.get("level") == tokenizer.level:
            return tokenizer(saved["vocabulary"])
    raise ValueError(f'level must be "char", "word" or "split", got {saved.get("level")!r}')
