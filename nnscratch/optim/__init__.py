"""Optimisers, and what goes with them."""

from . import lr_scheduler
from .adam import Adam
from .clip import clip_grad_norm
from .optimizer import Optimizer
from .sgd import SGD

__all__ = ["SGD", "Adam", "Optimizer", "clip_grad_norm", "lr_scheduler"]
