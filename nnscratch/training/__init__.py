"""Training: the training loop, callbacks, checkpoints and metrics."""

from .callback import Callback
from .callbacks import EarlyStopping, ProgressBar
from .checkpoint import Checkpoint, resume
from .divergence import TrainingDiverged
from .evaluate import evaluate
from .history import History
from .metrics import accuracy, bits_per_character, confusion_matrix, perplexity
from .search import search
from .trainer import Trainer

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
