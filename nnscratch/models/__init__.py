"""Complete networks, built from the layers."""

from .cnn import CNN
from .language_model import LanguageModel
from .masked_lm import MaskedLM, TransformerEncoder
from .mlp import MLP
from .seq2seq import Seq2Seq
from .text_classifier import TextClassifier
from .transformer_lm import TransformerLM
from .transformer_seq2seq import TransformerSeq2Seq
from .two_headed import TwoHeaded
from .word_vectors import WordVectors

__all__ = [
    "CNN",
    "LanguageModel",
    "MLP",
    "MaskedLM",
    "Seq2Seq",
    "TextClassifier",
    "TransformerEncoder",
    "TransformerLM",
    "TransformerSeq2Seq",
    "TwoHeaded",
    "WordVectors",
]
