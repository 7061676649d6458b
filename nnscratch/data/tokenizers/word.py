"""WordTokenizer: words and punctuation marks, with ``<unk>`` for rare words.

    text  -> tokenize -> words and marks  -> encode -> ids, an integer array of shape (T,)  -> decode -> text

A word tokenizer drops capitals and spacing, and replaces rare words by ``<unk>``. In return, a text has far fewer words
than characters, so a model needs fewer steps.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from ...checks import positive_int
from .tokenizer import EOS, UNK, Tokenizer, check_text

ABBREVIATIONS = tuple("mr. mrs. ms. messrs. dr. prof. rev. hon. st. capt. col. gen. lieut. esq. jun. etc. &c.".split())
"""Words with a full stop that does not end a sentence."""

CLOSING = frozenset(",.;:!?)]}”’…%")  # marks without a space before them
OPENING = frozenset("([{“‘£$")  # marks without a space after them
_DASHES = frozenset("-—")  # marks without a space on either side
_END = frozenset(".!?")
_CLOSE_END = frozenset("”’)]")  # after the full stop of a sentence, these marks still belong to that sentence

_ABBREVIATION = rf"(?<![\w'])(?:{'|'.join(map(re.escape, ABBREVIATIONS))})"
_STRAIGHT_OPENING = r"(?<![^\s(\[{“‘'\"–—-])%s(?=[^\s.,;:!?)\]}])"  # after a space or opening mark, before a word
_OPENING_DOUBLE, _OPENING_SINGLE = (re.compile(_STRAIGHT_OPENING % mark) for mark in "\"'")
# Possessive quantifiers: without them, the time for a long run of marks would be quadratic in its length.
_SENTENCE_END = re.compile(rf"({_ABBREVIATION})|[.!?]++[”’)\]]*+(?=(\s|$)?)")
_SEVERAL_ENDS = re.compile(rf"{EOS}(?:\s*{EOS})+")
_JOINERS = "\u200c\u200d"  # they occur inside words of Persian, Hindi and other languages


@functools.lru_cache(maxsize=64)
def _word_patterns(marks: str) -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    """Return the patterns of an apostrophe in a word, of a closing quotation mark, and of a token.

    Python's ``\\w`` does not include combining marks, such as vowel signs in Hindi. `marks` are the combining marks of
    the text.
    """
    letter = rf"[\w{re.escape(marks)}]"
    inner, closing = rf"(?<={letter})’(?={letter})", rf"(?<!{letter})'|'(?!{letter})"
    token = rf"{UNK}|{EOS}|{_ABBREVIATION}|{letter}+(?:'{letter}+)*|-+|[^\w\s{re.escape(marks)}]"
    return re.compile(inner), re.compile(closing), re.compile(token)


def _marks(text: str) -> str:
    """Return the combining marks and joiners in `text`, each once."""
    return "".join(sorted(c for c in set(text) if c in _JOINERS or unicodedata.category(c)[0] == "M"))


class WordTokenizer(Tokenizer):
    """Lower-case words and punctuation marks, ``<unk>`` for rare words, and ``<eos>`` after each sentence.

    These are all the rules:

    - A word is a run of letters and digits. The accents and vowel signs of its letters belong to the word. The text is
      normalised (NFC), so a letter with an accent gives the same token, whether or not the accent is a separate
      character. An apostrophe inside a word is part of it (``don't``). Every other mark is a token. A run of hyphens is
      one token. A word of :data:`ABBREVIATIONS` and its full stop are one token (``mr.``).
    - Straight quotation marks become opening and closing ones (``“ ”``), so that a model can tell where speech begins.
      Underscores are dropped: Project Gutenberg marks italics with them.
    - A sentence ends with ``.``, ``!`` or ``?`` and any closing quotes or brackets, followed by a space or the end of
      the text. ``<eos>`` is inserted there. Several ``<eos>`` in a row become one.
    - ``<unk>`` and ``<eos>`` in the text become these tokens, so you can use prepared corpora too.

    Parameters
    ----------
    vocabulary : iterable of str
        ``<unk>``, ``<eos>``, then the words. :meth:`from_text` collects them from a text.

    Raises
    ------
    ValueError
        The vocabulary does not begin with ``<unk>`` and ``<eos>``, or contains a token twice.

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
        """Return a tokenizer with the most frequent words of `text` in its vocabulary.

        Parameters
        ----------
        text : str
        min_count : int
            Leave out words that occur fewer times than this.
        max_size : int, optional
            The maximum size of the vocabulary, including ``<unk>`` and ``<eos>``. By default there is no maximum.

        Raises
        ------
        ValueError
            The text contains no word, no word occurs `min_count` times, or an argument is out of range.
        """
        min_count = positive_int("min_count", min_count)
        if max_size is not None and positive_int("max_size", max_size) < 3:
            raise ValueError(
                f"max_size includes {UNK}, {EOS} and at least one word: it must be 3 or more, got {max_size}"
            )
        counts = Counter(cls.tokenize(text))
        del counts[UNK], counts[EOS]
        if not counts:
            raise ValueError("text holds no words, and a vocabulary needs at least one")
        ranked = sorted((-count, word) for word, count in counts.items() if count >= min_count)
        if not ranked:
            raise ValueError(f"min_count is {min_count}, and no word of the text occurs that often")
        return cls([UNK, EOS, *(word for _, word in ranked)][:max_size])

    @staticmethod
    def tokenize(text: str) -> list[str]:
        """Split `text` into words, marks and ``<eos>``, without looking them up in a vocabulary.

        Examples
        --------
        >>> WordTokenizer.tokenize('"Why, Mr. Bennet!" She didn\\'t _know_.')
        ['“', 'why', ',', 'mr.', 'bennet', '!', '”', '<eos>', 'she', "didn't", 'know', '.', '<eos>']
        """
        check_text(text)
        text = unicodedata.normalize("NFC", text.lower().replace("_", ""))
        inner_apostrophe, closing_single, a_token = _word_patterns(_marks(text))
        text = inner_apostrophe.sub("'", text)
        text = _OPENING_DOUBLE.sub("“", text).replace('"', "”")
        text = closing_single.sub("’", _OPENING_SINGLE.sub("‘", text))
        text = _SENTENCE_END.sub(lambda found: found[0] if found[2] is None else f"{found[0]} {EOS} ", text)
        return a_token.findall(_SEVERAL_ENDS.sub(EOS, text))

    def encode(self, text: str) -> np.ndarray:
        """Return the id of every token. A word that is not in the vocabulary gets the id of ``<unk>``, 0.

        A text that stops in the middle of a sentence gets no ``<eos>``, so a model can continue the sentence.

        Returns
        -------
        ids : intp array, shape (T,)
        """
        find = self._ids.get
        return np.array([find(token, 0) for token in self.tokenize(text)], dtype=np.intp)

    def decode(self, ids: Any) -> str:
        """Return readable text with spaces as in English. It contains ``<eos>`` only where a sentence has no full stop.

        Encoding the text again gives the same ids, with two exceptions. Several ``<eos>`` in a row become one, and
        ``<eos>`` is added after a final full stop if it is missing. The text of the first k ids is always a prefix of
        the text of all ids, so you can print a text while a model generates it.

        Parameters
        ----------
        ids : integer array or list of int, shape (T,)

        Raises
        ------
        TypeError, ValueError
            `ids` is not a sequence of integers, or an id is out of range.
        """
        text: list[str] = []
        left = ""
        ended = False  # True if the text so far ends with a full stop and any closing quotes
        for token in self._tokens(ids):
            if token == EOS and ended:  # the full stop and the next space already show the end of the sentence
                left, ended = EOS, False
                continue
            no_space = not left or _without_space(left, token) or (ended and left != EOS)
            text += [token] if no_space else [" ", token]
            ended = token in _END or (ended and token in _CLOSE_END)
            left = token
        return "".join(text)


def _without_space(left: str, right: str) -> bool:
    """Return True if English puts no space between the tokens `left` and `right`."""
    if left == EOS or right == "." and f"{left}." in ABBREVIATIONS:
        return False
    if left[0] in _DASHES or right[0] in _DASHES:
        return not left[0] == right[0] == "-"  # without a space, two runs of hyphens would become one token
    return left in OPENING or right in CLOSING
