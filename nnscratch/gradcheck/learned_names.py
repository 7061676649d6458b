"""Decide from its name if an array is a learned weight, a setting, or neither.

The lists contain names from courses and books. If a name is not in the lists, completeness.py looks at the class that
contains the array. In an ordinary class, the array counts as a weight, so that the check misses no weight. In a class
that lists its parameters, the array counts as a constant.
"""

from __future__ import annotations

import re

from .snapshot import Steps

LEARNED = frozenset(
    "w b u v wx wh wq wk wv wo bx bh weight weights weigths kernel kernels filter filters bias biases gamma theta "
    "coef coefs intercept embedding embeddings emb embed param params parameters".split()
)
SETTINGS = frozenset(
    "running moving avg average mean means std stdev stds var variance eps epsilon mask masks target targets label "
    "labels truth lr rate momentum decay lambda lam reg temperature temp tau prob probs keep dropout factor const "
    "constant constants fixed freq freqs frequencies position positions positional encoding encodings enc pe sin cos "
    "window stride pad padding shape size axis dim dims seed min max low high lower upper bound bounds threshold clip "
    "step steps history noise adj adjacency laplacian edges hat tilde grid stats statistics "
    "ones zeros eye identity causal tril x xs data input inputs feature features train test batch design sample "
    "samples hyper config options y t ts h state states hidden cell memory carry prev previous initial".split()
)
WEIGHTS_ONLY = frozenset("w b weight weights bias biases theta".split())  # these words are never the name of a setting
# Together with one of these words, a word such as "weights" is the name of a setting: class_weights are not learned.
WEIGHTS_OF_SAMPLES = frozenset("class sample samples loss pos instance balance".split())


def name_of(steps: Steps) -> str:
    """Return the last name on the path to an array: "W" for self.fc1.W. Indices into a list are not names.

    Examples
    --------
    >>> name_of((("root", 0), ("item", 0), ("attribute", "masks"), ("item", 3)))
    'masks'
    """
    names = [key for kind, key in steps[1:] if isinstance(key, str)]
    if len(names) > 1 and names[-1].lstrip("_") in ("data", "value", "val"):  # self.W.data
        return names[-2]
    return names[-1] if names else ""


def words_of(name: str) -> list[str]:
    """Return the words of a name in lower case.

    Examples
    --------
    >>> words_of("running_mean2"), words_of("posEncoding"), words_of("W1"), words_of("EPS")
    (['running', 'mean'], ['pos', 'encoding'], ['w'], ['eps'])
    """
    parts = re.split(r"[^A-Za-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name))
    return [part.lower() for part in parts if part]


def is_learned_name(name: str) -> bool:
    """Return True if `name` is a usual name of a weight or bias."""
    words = set(words_of(name))
    return bool(words & LEARNED) and not words & WEIGHTS_OF_SAMPLES


def is_weight_name(name: str) -> bool:
    """Return True for the few names that are used for weights only, such as W, b, weights, bias and theta."""
    words = set(words_of(name))
    return bool(words) and words <= WEIGHTS_ONLY


def is_setting_name(name: str) -> bool:
    """Return True if `name` is a usual name of a setting, a statistic, a mask or a target, and not of a weight.

    Examples
    --------
    >>> [is_setting_name(n) for n in ("running_mean", "class_weights", "W", "mean_weight", "A")]
    [True, True, False, False, False]
    """
    words = set(words_of(name))
    if words & WEIGHTS_OF_SAMPLES and words & LEARNED:
        return True
    return bool(words & SETTINGS) and not words & LEARNED
