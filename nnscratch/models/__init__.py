"""Complete networks, built from the layers."""

from .cnn import CNN
from .language_model import LanguageModel
from .mlp import MLP
from .transformer_lm import TransformerLM
from .two_headed import TwoHeaded

__all__ = ["CNN", "LanguageModel", "MLP", "TransformerLM", "TwoHeaded"]
