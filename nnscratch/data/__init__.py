"""Text to token ids, token ids to batches, and the data sets that come with the package."""

from .batches import Batches, TextBatches
from .bundled import AUSTEN, austen_split, load_austen, load_digits, load_text
from .tokenizers import CharTokenizer, SplitTokenizer, WordTokenizer, tokenizer_from_dict

__all__ = [
    "AUSTEN",
    "Batches",
    "CharTokenizer",
    "SplitTokenizer",
    "TextBatches",
    "WordTokenizer",
    "austen_split",
    "load_austen",
    "load_digits",
    "load_text",
    "tokenizer_from_dict",
]
