"""Membership inference: can someone tell from the loss whether an example was in the training data?

    attack      the answer is yes if the model's loss of the example is at most a threshold

    advantage   the largest difference, over all thresholds: (the fraction of members that get yes) - (the
                fraction of other examples that get yes)
    auc         the probability that a member has a lower loss than an example that was not in the data

A model that treats members and other examples alike has an advantage of 0 and an auc of 0.5. Training that is (epsilon,
delta)-private allows an advantage of at most (exp(epsilon) - 1 + 2 delta) / (exp(epsilon) + 1), for any attack.

References: Yeom, Giacomelli, Fredrikson and Jha (2018), "Privacy risk in machine learning: analyzing the connection to
overfitting", arXiv:1709.01604; Humphries et al. (2023), "Investigating membership inference attacks under data
dependencies", arXiv:2010.12112, for the bound.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from .. import backend
from ..backend import Array
from ..checks import at_least


class Membership(NamedTuple):
    """The success of an attack that compares the loss of an example with a threshold.

    Examples
    --------
    The attack calls an example a member if its loss is at most the threshold:

    >>> import numpy as np, nnscratch as nn
    >>> members, others = np.array([0.1, 0.2, 0.9]), np.array([0.5, 0.8, 1.2])
    >>> attack = nn.privacy.membership_inference(members, others)
    >>> print(members <= attack.threshold, others <= attack.threshold)
    [ True  True False] [False False False]
    >>> print(round(attack.advantage, 3))                               # it finds 2 of 3 members, and no others
    0.667
    """

    advantage: float
    auc: float
    threshold: float


def membership_inference(member_losses: Array, other_losses: Array) -> Membership:
    """Return how well a threshold on the loss separates training examples from other examples.

    Parameters
    ----------
    member_losses : array, shape (N,)
        The losses of training examples.
    other_losses : array, shape (M,)
        The losses of examples of the same kind that were not in the training data.

    Returns
    -------
    Membership
        ``advantage``, ``auc`` and the ``threshold`` of the largest advantage. The attack calls an example a member if
        its loss is at most the threshold.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> result = nn.privacy.membership_inference(np.array([0.1, 0.2, 0.9]), np.array([0.5, 0.8, 1.2]))
    >>> round(result.advantage, 3), round(result.auc, 3), float(result.threshold)
    (0.667, 0.778, 0.2)
    """
    members, others = (np.sort(backend.to_numpy(losses)) for losses in (member_losses, other_losses))
    for name, losses in (("member_losses", members), ("other_losses", others)):
        if losses.ndim != 1 or len(losses) == 0 or not np.isfinite(losses).all():
            raise ValueError(f"{name} must be finite numbers, of shape (N,) with N at least 1, got {losses.shape}")
    # Try the loss of each member as the threshold: a threshold between two of these losses cannot be better.
    found = np.searchsorted(members, members, side="right") / len(members)
    wrong = np.searchsorted(others, members, side="right") / len(others)
    best = int(np.argmax(found - wrong))
    below, up_to = (np.searchsorted(members, others, side=side) for side in ("left", "right"))
    auc = float((below + up_to).mean() / 2 / len(members))  # an equal loss counts as one half
    return Membership(max(0.0, float(found[best] - wrong[best])), auc, float(members[best]))


def advantage_bound(epsilon: float, delta: float = 0.0) -> float:
    """Return the largest advantage that any attack can have after training that is (epsilon, delta)-private.

    Examples
    --------
    >>> round(advantage_bound(1.0), 3), round(advantage_bound(8.0), 5)
    (0.462, 0.99933)
    """
    epsilon, delta = at_least("epsilon", epsilon, 0), at_least("delta", delta, 0, below=1)
    ratio = math.tanh(epsilon / 2)  # (exp(epsilon) - 1) / (exp(epsilon) + 1), which does not overflow
    return min(1.0, ratio + 2 * delta / (math.exp(min(epsilon, 700.0)) + 1))
