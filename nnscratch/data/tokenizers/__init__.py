"""Text to token ids and back: by character, by word, or at the blanks of a prepared text.

Read ``tokenizer.py`` first (the vocabulary), then ``char.py``, ``word.py`` and ``split.py``.
"""

from typing import Any

from .char import CharTokenizer
from .split import SplitTokenizer
from .tokenizer import EOS, UNK, Tokenizer
from .word import WordTokenizer

__all__ = ["EOS", "UNK", "CharTokenizer", "SplitTokenizer", "Tokenizer", "WordTokenizer", "tokenizer_from_dict"]


def tokenizer_from_dict(saved: dict[str, Any]) -> CharTokenizer | WordTokenizer | SplitTokenizer:
    """Return the tokenizer that ``to_dict`` described.

    Parameters
    ----------
    saved : dict
        The result of ``tokenizer.to_dict()``.

    Raises
    ------
    ValueError
        `saved` is not such a dictionary.

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
