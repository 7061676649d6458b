"""Losses: each maps a prediction and a target to one number L, and returns dL/d(prediction).

    loss        = criterion(prediction, target)      a float
    dprediction = criterion.backward()               the start of the chain rule: dL/dL = 1

Like every module, a loss saves the values that backward needs, until you call backward. To compute a loss without a
backward call, put the criterion into ``eval()`` mode first. Each loss has its own file.
"""

from .bce_with_logits import BCEWithLogitsLoss
from .cross_entropy import CrossEntropyLoss
from .huber import HuberLoss
from .kl_div import KLDivLoss
from .mse import MSELoss
from .multi_margin import MultiMarginLoss

__all__ = ["BCEWithLogitsLoss", "CrossEntropyLoss", "HuberLoss", "KLDivLoss", "MSELoss", "MultiMarginLoss"]
