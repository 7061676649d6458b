"""Training: the loop, what watches it, what it measures."""

from .callbacks import Checkpoint, EarlyStopping, ProgressBar, resume
from .evaluate import evaluate
from .history import History
from .metrics import accuracy, bits_per_character, confusion_matrix, perplexity
from .search import search
from .trainer import Callback, Trainer, TrainingDiverged

__all__ = [
    "Callback",
    "Checkpoint",
    "EarlyStopping",
    "History",
    "ProgressBar",
    "Trainer",
    "TrainingDiverged",
    "accuracy",
    "bits_per_character",
    "confusion_matrix",
    "evaluate",
    "perplexity",
    "resume",
    "search",
]
