r"""Split a text into words, as GPT-2 does before it merges bytes.

Each match of this pattern is one word, and each character of the text is in exactly one word::

    's|'t|'re|'ve|'m|'ll|'d    an English ending; only in lower case
    | ?\p{L}+                  letters, with one space before them if there is one
    | ?\p{N}+                  digits
    | ?[^\s\p{L}\p{N}]+        other characters, such as punctuation marks and emoji
    |\s+(?!\S)                 white space, but not the last character of it if a word follows
    |\s+                       any other white space

``\p{L}`` is a letter, ``\p{N}`` is a number and ``\s`` is white space, each as Unicode defines it. Python's ``re`` does
not know ``\p{L}`` and ``\p{N}``. Its ``\s`` includes four control characters that are not white space in Unicode. So
this file writes all three as ranges of code points. The letters and numbers come from :mod:`unicodedata`. This file
adds those that Python 3.11 does not know, so that every Python version splits a text in the same way.

Reference: Radford, Wu, Child, Luan, Amodei and Sutskever (2019), "Language models are unsupervised multitask learners",
https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from itertools import groupby

WHITE_SPACE = r"\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
"""The characters with the Unicode property White_Space, in the form of a character class."""

# Letters and numbers of Unicode 15, 15.1 and 16. Python 3.11 has Unicode 14 and does not know them.
NEWER_LETTERS = (
    r"\u1c89\u1c8a\ua7cb-\ua7cd\ua7da-\ua7dc\U000105c0-\U000105f3\U00010d4a-\U00010d65\U00010d6f-\U00010d85"
    r"\U00010ec2-\U00010ec4\U0001123f\U00011240\U00011380-\U00011389\U0001138b\U0001138e\U00011390-\U000113b5\U000113b7"
    r"\U000113d1\U000113d3\U00011bc0-\U00011be0\U00011f02\U00011f04-\U00011f10\U00011f12-\U00011f33\U0001342f"
    r"\U00013441-\U00013446\U00013460-\U000143fa\U00016100-\U0001611d\U00016d40-\U00016d6c\U00018cff\U0001b132"
    r"\U0001b155\U0001df25-\U0001df2a\U0001e030-\U0001e06d\U0001e4d0-\U0001e4eb\U0001e5d0-\U0001e5ed\U0001e5f0"
    r"\U0002b739\U0002ebf0-\U0002ee5d\U00031350-\U000323af"
)
NEWER_NUMBERS = (
    r"\U00010d40-\U00010d49\U000116d0-\U000116e3\U00011bf0-\U00011bf9\U00011f50-\U00011f59\U00016130-\U00016139"
    r"\U00016d70-\U00016d79\U0001ccf0-\U0001ccf9\U0001d2c0-\U0001d2d3\U0001e4f0-\U0001e4f9\U0001e5f1-\U0001e5fa"
)


def split_words(text: str) -> list[str]:
    """Split `text` into words. If you join the words, you get `text`.

    Examples
    --------
    >>> split_words("It's 1813, isn't  it?")
    ['It', "'s", ' 1813', ',', ' isn', "'t", ' ', ' it', '?']
    """
    return _pattern().findall(text)


@cache
def _pattern() -> re.Pattern[str]:
    space = WHITE_SPACE
    letters, numbers = _ranges("L") + NEWER_LETTERS, _ranges("N") + NEWER_NUMBERS
    return re.compile(
        rf"'s|'t|'re|'ve|'m|'ll|'d| ?[{letters}]+| ?[{numbers}]+| ?[^{space}{letters}{numbers}]+"
        rf"|[{space}]+(?![^{space}])|[{space}]+"
    )


def _ranges(kind: str) -> str:
    """Return the characters of all categories that begin with `kind`, in the form of a character class."""
    by_kind = groupby(range(0x110000), key=lambda code: unicodedata.category(chr(code))[0] == kind)
    runs = [list(codes) for inside, codes in by_kind if inside]
    return "".join(rf"\U{run[0]:08x}-\U{run[-1]:08x}" for run in runs)
