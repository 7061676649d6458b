"""From a wrong gradient to the mistake that explains it.

Every hypothesis computes the gradient that its mistake would give and is kept only if that *is* the gradient given.

    algebra        seen from the two arrays alone: a sign, a factor, an axis, a block
    shares         which outputs were counted: every output's share in the gradient
    comparisons    what forward compared with: a target one off
    paths          inside forward, on its tape: cuts, functions, products; must explain all arrays at once

evidence.py, along.py and slopes.py say when a gradient is explained; forward.py knows the taped operations.
"""

from __future__ import annotations

import numpy as np

from ..numerical import Derivative
from ..objective import Objective
from ..report import GradientReport
from .algebra import algebra
from .along import CaseAlong
from .comparisons import other_targets
from .evidence import Case
from .paths import paths
from .shares import shares


def diagnose_entries(
    report: GradientReport,
    objective: Objective,
    gradients: dict[str, np.ndarray],
    slopes: dict[str, list[tuple[np.ndarray, Derivative]]],
) -> None:
    """Write into every wrong entry of `report` the mistakes that explain it.

    First come those that explain most of the wrong arrays, for one mistake is likelier than several; among these the
    most specific.

    Parameters
    ----------
    gradients : dict of str to ndarray
        What backward said, whole.
    slopes : dict of str to list of (ndarray, Derivative)
        Directions and the derivatives along them, of those wrong arrays of which no elements are known.
    """
    cases: dict[str, Case] = {}
    right: dict[str, tuple[np.ndarray, np.ndarray]] = {}  # given, and true
    others: dict[str, np.ndarray] = {}
    for name, e in report.entries.items():
        if name in slopes:
            cases[name] = CaseAlong(e, objective, gradients[name], slopes[name])
        elif np.shape(e.numeric) == e.shape:
            others[name] = e.numeric
            if e.verdict == "wrong":
                cases[name] = Case(e, objective)
            else:
                right[name] = (e.analytic, np.where(Case(e, objective).smooth, e.numeric, np.nan))
        elif e.verdict == "right":  # along random directions: so in every element
            others[name] = gradients[name]
            right[name] = (gradients[name], gradients[name])
    along = {name: case for name, case in cases.items() if name in slopes}
    for case in cases.values():
        algebra(case, others, along)
        shares(case)
    other_targets(cases, right, report, objective)
    paths(cases, right, report, objective)
    explained: dict[str, int] = {}
    for case in cases.values():
        for mistake in {d.mistake for _, d in case.found}:
            explained[mistake] = explained.get(mistake, 0) + 1
    for case in cases.values():
        case.entry.diagnoses = sorted(case.ranked(), key=lambda d: -explained[d.mistake])
        if not case.found and not case.entry.reason:
            case.entry.reason = "none of the mistakes tried explains it"
            if case.elementwise:
                case.entry.reason += f"; the worst elements: {worst(case.given, case.true)}"


def worst(given: np.ndarray, true: np.ndarray, count: int = 3) -> str:
    """The elements that differ most, with what was given and what is true."""
    off = np.nan_to_num(np.abs(given - true))
    words = []
    for i in np.argsort(off, axis=None)[::-1][:count]:
        p = np.unravel_index(int(i), off.shape)
        digits = 4 if f"{given[p]:.4g}" != f"{true[p]:.4g}" else 10
        words.append(f"[{','.join(map(str, p))}] given {given[p]:.{digits}g}, true {true[p]:.{digits}g}")
    return ", ".join(words)
