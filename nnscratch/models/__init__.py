"""Whole networks, made of the layers."""

from .language_model import LanguageModel
from .transformer_lm import TransformerLM
from .two_headed import TwoHeaded

__all__ = ["LanguageModel", "TransformerLM", "TwoHeaded"]
