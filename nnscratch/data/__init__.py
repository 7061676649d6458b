"""Data: tokenizers, mini-batches, the data sets that come with the package, toy data sets and augmentation."""

from .augment import Compose, GaussianNoise, RandomRotation, RandomScale, RandomShift, TokenDropout
from .batches import Batches, TextBatches
from .bundled import AUSTEN, austen_split, digits_split, load_austen, load_digits, load_text
from .idx import load_idx, read_idx
from .masked_batches import MaskedBatches
from .one_hot import one_hot
from .pairs import additions, dates, pad_sequences
from .tokenizers import BPETokenizer, CharTokenizer, SplitTokenizer, WordTokenizer, tokenizer_from_dict
from .toys import blobs, moons, sine, spirals, xor
from .word_windows import WordWindows

__all__ = [
    "AUSTEN",
    "BPETokenizer",
    "Batches",
    "CharTokenizer",
    "Compose",
    "GaussianNoise",
    "MaskedBatches",
    "RandomRotation",
    "RandomScale",
    "RandomShift",
    "SplitTokenizer",
    "TextBatches",
    "TokenDropout",
    "WordTokenizer",
    "WordWindows",
    "additions",
    "austen_split",
    "blobs",
    "dates",
    "digits_split",
    "load_austen",
    "load_digits",
    "load_idx",
    "load_text",
    "moons",
    "one_hot",
    "pad_sequences",
    "read_idx",
    "sine",
    "spirals",
    "tokenizer_from_dict",
    "xor",
]
