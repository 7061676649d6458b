"""What a loss means: cross-entropy in nats, said in units people use."""

from __future__ import annotations

import math


def perplexity(loss: float) -> float:
    """exp(loss): among how many equally likely tokens the model is as unsure.

    Examples
    --------
    >>> round(perplexity(math.log(100)), 6)
    100.0
    """
    return math.exp(loss) if loss < 700 else math.inf


def bits_per_character(loss: float) -> float:
    """loss / ln 2: how many yes-or-no answers each character costs.

    Examples
    --------
    >>> bits_per_character(math.log(2))
    1.0
    """
    return loss / math.log(2)
