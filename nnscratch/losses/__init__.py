"""Losses: from a prediction and a target to one number L, and to dL/d(prediction).

    loss        = criterion(prediction, target)      a float
    dprediction = criterion.backward()               starts the chain rule: dL/dL = 1

A loss keeps its forward until its backward, like every module. To measure a loss without training, put it into
``eval()`` mode. One loss a file.
"""

from .bce_with_logits import BCEWithLogitsLoss
from .cross_entropy import CrossEntropyLoss
from .huber import HuberLoss
from .kl_div import KLDivLoss
from .mse import MSELoss
from .multi_margin import MultiMarginLoss

__all__ = ["BCEWithLogitsLoss", "CrossEntropyLoss", "HuberLoss", "KLDivLoss", "MSELoss", "MultiMarginLoss"]
