"""Text to token ids and back: by character, by word, at the spaces of a prepared text, or by byte-level BPE.

Read ``tokenizer.py`` first (the vocabulary), then ``char.py``, ``word.py``, ``split.py`` and ``bpe.py``.
"""

from typing import Any

from .bpe import BPETokenizer
from .char import CharTokenizer
from .split import SplitTokenizer
from .tokenizer import EOS, UNK, Tokenizer
from .word import WordTokenizer

__all__ = [
    "EOS",
    "UNK",
    "BPETokenizer",
    "CharTokenizer",
    "SplitTokenizer",
    "Tokenizer",
    "WordTokenizer",
    "tokenizer_from_dict",
]


def tokenizer_from_dict(saved: dict[str, Any]) -> CharTokenizer | WordTokenizer | SplitTokenizer | BPETokenizer:
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
    if isinstance(saved, dict) and isinstance(saved.get("model"), dict):
        return BPETokenizer.from_dict(saved)
    if not isinstance(saved, dict) or not isinstance(saved.get("vocabulary"), list):
        raise ValueError('saved must be a dictionary with "level" and a list "vocabulary", as to_dict() makes it')
    for tokenizer in (CharTokenizer, WordTokenizer, SplitTokenizer):
        if saved.get("level") == tokenizer.level:
            return tokenizer(saved["vocabulary"])
    raise ValueError(f'level must be "char", "word" or "split", got {saved.get("level")!r}')
