"""Whole networks, made of the layers."""

from .language_model import LanguageModel

__all__ = ["LanguageModel"]
