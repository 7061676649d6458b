"""Fairness: does a classifier treat groups of people alike?

    a       the group of each example, such as men and women          y, p    the true and the predicted class, 0 or 1

    accuracy                of each group: P(p = y | a)
    demographic parity      P(p = 1 | a) is the same for all a: each group gets the good outcome equally often
    equalised odds          P(p = 1 | y = 1, a) and P(p = 1 | y = 0, a) are the same for all a: each group has the same
                            rates of true and of false positives

A gap is the largest difference of a rate between two groups. With a gap of 0, all groups are equal. If the groups have
different rates of y = 1, no classifier that is better than chance has both gaps at 0. So the two definitions contradict
each other. The right definition depends on the purpose of the prediction, and on the origin of the labels y.

    re-weighting            w = P(a) P(y) / P(a, y) for each training example. With these weights, y is independent of a

Leaving the group out of the inputs is not enough, since other inputs may reveal the group.

References: Hardt, Price and Srebro (2016), "Equality of opportunity in supervised learning", arXiv:1610.02413; Kamiran
and Calders (2012), "Data preprocessing techniques for classification without discrimination",
doi:10.1007/s10115-011-0463-8, for the weights; Chouldechova (2017), "Fair prediction with disparate impact",
arXiv:1703.00056, for the contradiction.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from . import backend
from .backend import Array
from .checks import positive_int, probability


class Group(NamedTuple):
    """The rates of one group. A rate over zero examples is NaN.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> predictions, targets = np.array([1, 1, 0, 0]), np.array([1, 0, 0, 0])
    >>> report = nn.fairness.group_report(predictions, targets, np.array(["men", "men", "women", "women"]))
    >>> men, women = report.groups
    >>> print(men.group, men.count, men.accuracy, men.positive_rate)
    men 2 0.5 1.0
    >>> print(women.true_positive_rate)                                 # no woman has y = 1
    nan
    """

    group: Any
    count: int
    accuracy: float
    positive_rate: float
    true_positive_rate: float
    false_positive_rate: float


@dataclass
class GroupReport:
    """The rates of all groups. ``print(report)`` prints them as a table.

    Attributes
    ----------
    groups : list of Group
        In ascending order of the group's value.

    Notes
    -----
    A gap ignores the groups whose rate is NaN. If fewer than two groups remain, the gap is NaN.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> predictions, targets = np.array([1, 1, 0, 1, 0, 0]), np.array([1, 1, 0, 1, 1, 0])
    >>> report = nn.fairness.group_report(predictions, targets, np.array([0, 0, 0, 1, 1, 1]))
    >>> print(round(report.demographic_parity_gap, 3), report.equalised_odds_gap)
    0.333 0.5
    >>> worst = min(report.groups, key=lambda group: group.true_positive_rate)
    >>> print(worst.group, worst.true_positive_rate)
    1 0.5
    """

    groups: list[Group]

    @property
    def demographic_parity_gap(self) -> float:
        """The largest difference of P(p = 1 | a) between two groups."""
        return self._gap("positive_rate")

    @property
    def equalised_odds_gap(self) -> float:
        """The largest difference of P(p = 1 | y, a) between two groups, for y = 0 and y = 1."""
        gaps = self._gap("true_positive_rate"), self._gap("false_positive_rate")
        return max((gap for gap in gaps if not math.isnan(gap)), default=math.nan)

    def _gap(self, rate: str) -> float:
        rates = [getattr(group, rate) for group in self.groups]
        known = [value for value in rates if not math.isnan(value)]
        return max(known) - min(known) if len(known) > 1 else math.nan  # one group cannot be compared

    def __str__(self) -> str:
        width = max(8, *(len(str(g.group)) for g in self.groups))
        lines = [
            f"{'group':>{width}} {'count':>7} {'accuracy':>9} {'positive':>9} {'true pos.':>10} {'false pos.':>11}"
        ]
        for g in self.groups:
            rates = f"{g.accuracy:>9.3f} {g.positive_rate:>9.3f} {g.true_positive_rate:>10.3f} "
            lines.append(f"{g.group!s:>{width}} {g.count:>7} {rates}{g.false_positive_rate:>11.3f}")
        lines.append(
            f"gaps: demographic parity {self.demographic_parity_gap:.3f}, equalised odds {self.equalised_odds_gap:.3f}"
        )
        return "\n".join(lines)


def group_report(predictions: Array, targets: Array, groups: Array) -> GroupReport:
    """Return accuracy, demographic parity and equalised odds by group.

    Parameters
    ----------
    predictions, targets : array of 0 and 1, shape (N,)
    groups : array of integers or strings, shape (N,)

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> predictions, targets = np.array([1, 1, 0, 1, 0, 0]), np.array([1, 1, 0, 1, 1, 0])
    >>> print(nn.fairness.group_report(predictions, targets, np.array([0, 0, 0, 1, 1, 1])))
       group   count  accuracy  positive  true pos.  false pos.
           0       3     1.000     0.667      1.000       0.000
           1       3     0.667     0.333      0.500       0.000
    gaps: demographic parity 0.333, equalised odds 0.500
    """
    p, y, a = (_row(name, v) for name, v in (("predictions", predictions), ("targets", targets), ("groups", groups)))
    for name, array in (("predictions", p), ("targets", y)):
        if len(array) != len(a) or not np.isin(array, (0, 1)).all():
            raise ValueError(f"{name} must be 0 or 1, one for each of the {len(a)} examples, got {array}")

    def rate(of: np.ndarray, where: np.ndarray) -> float:
        return float(of[where].mean()) if where.any() else float("nan")

    return GroupReport(
        [
            Group(
                value.item(), int((a == value).sum()), rate(p == y, a == value), rate(p, a == value),
                rate(p, (a == value) & (y == 1)), rate(p, (a == value) & (y == 0)),
            )
            for value in np.unique(a)
        ]
    )  # fmt: skip


def reweighting(targets: Array, groups: Array) -> np.ndarray:
    """Return the weight of each training example, shape (N,): P(a) P(y) / P(a, y).

    The mean weight is 1 if every group has examples of every class. To use the weights, draw the training examples with
    probabilities that are proportional to them.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> y, a = np.array([1, 1, 1, 0, 1, 0, 0, 0]), np.array([0, 0, 0, 0, 1, 1, 1, 1])
    >>> weights = nn.fairness.reweighting(y, a)
    >>> print(weights.round(2))
    [0.67 0.67 0.67 2.   2.   0.67 0.67 0.67]
    >>> rows = np.random.default_rng(0).choice(len(y), size=1000, p=weights / weights.sum())
    >>> print([float(y[rows][a[rows] == group].mean().round(1)) for group in (0, 1)])
    [0.5, 0.5]
    """
    y, a = _row("targets", targets), _row("groups", groups)
    if len(y) != len(a):
        raise ValueError(f"targets and groups must have one element for each example, got {len(y)} and {len(a)}")
    weights = np.empty(len(y))
    for group in np.unique(a):
        for label in np.unique(y):
            cell = (a == group) & (y == label)
            if cell.any():
                weights[cell] = (a == group).mean() * (y == label).mean() / cell.mean()
    return weights


class Applicants(NamedTuple):
    """Artificial data with a protected attribute.

    Examples
    --------
    Treat the decisions of the past as predictions, and measure their bias:

    >>> import nnscratch as nn
    >>> data = nn.fairness.draw_applicants(2000, rng=0)
    >>> data.x.shape
    (2000, 2)
    >>> report = nn.fairness.group_report(data.y, data.qualified, data.groups)
    >>> print([round(group.true_positive_rate, 1) for group in report.groups])
    [1.0, 0.5]
    """

    x: np.ndarray
    y: np.ndarray
    qualified: np.ndarray
    groups: np.ndarray


def draw_applicants(count: int, bias: float = 0.5, rng: None | int | np.random.Generator = None) -> Applicants:
    """Draw applicants of two groups that are equally qualified, and the biased decisions of the past.

    Parameters
    ----------
    count : int
    bias : float, 0 <= bias < 1
        The probability that a qualified applicant of group 1 was rejected.
    rng : None, int or numpy.random.Generator

    Returns
    -------
    x : float32 array, shape (count, 2)
        A test result, and the distance of the home from the centre, which depends strongly on the group.
    y : int64 array, shape (count,)
        The decision of the past.
    qualified : int64 array, shape (count,)
        The decision without the bias. In real data it is unknown.
    groups : int64 array, shape (count,)
        The group: 0 for about 70 % of the applicants, and 1 for all others.

    Examples
    --------
    >>> import nnscratch as nn
    >>> x, y, qualified, groups = nn.fairness.draw_applicants(2000, rng=0)
    >>> print([float(values[groups == 1].mean().round(1)) for values in (qualified, y)])
    [0.5, 0.3]
    """
    rng, bias = backend.generator(rng), probability("bias", bias)
    groups = (rng.random(positive_int("count", count)) < 0.3).astype(np.int64)
    skill = rng.normal(size=count)
    x = np.stack([skill + 0.3 * rng.normal(size=count), 2.0 * groups - 0.6 + rng.normal(size=count)], axis=1)
    qualified = (skill > 0).astype(np.int64)
    turned_down = (groups == 1) & (rng.random(count) < bias)
    return Applicants(x.astype(np.float32), qualified * ~turned_down, qualified, groups)


def _row(name: str, values: Array) -> np.ndarray:
    row = backend.to_numpy(values)
    if row.ndim != 1 or len(row) == 0:
        raise ValueError(f"{name} must have shape (N,) with N at least 1, got {row.shape}")
    if row.dtype.kind == "f" and np.isnan(row).any():
        raise ValueError(f"{name} must not hold NaN, got {row}")
    return row
