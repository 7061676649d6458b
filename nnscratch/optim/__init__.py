"""Optimisers, gradient clipping and learning-rate schedules."""

from ..deprecated import renamed
from . import lr_scheduler
from .adagrad import Adagrad
from .adam import Adam
from .adamw import AdamW
from .clip import clip_grad_norm_, clip_grad_value_
from .optimizer import Optimizer
from .rmsprop import RMSprop
from .sgd import SGD

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Optimizer",
    "RMSprop",
    "clip_grad_norm_",
    "clip_grad_value_",
    "lr_scheduler",
]

__getattr__ = renamed(__name__, {"clip_grad_norm": "clip_grad_norm_", "clip_grad_value": "clip_grad_value_"})
