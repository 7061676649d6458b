"""Whole networks, made of the layers."""

from .language_model import LanguageModel
from .transformer_lm import TransformerLM

__all__ = ["LanguageModel", "TransformerLM"]
