"""From a wrong gradient to the mistake that explains it.

Every hypothesis computes the gradient that its mistake would give and is kept only if that *is* the gradient given.

    algebra        seen from the two arrays alone: a sign, a factor, an axis, a block
    shares         which outputs were counted: every output's share in the gradient
    comparisons    what forward compared with: a target one off
    paths          inside forward, on its tape: cuts, functions, products; must explain all arrays at once

evidence.py and slopes.py say when a gradient is explained; forward.py knows the taped operations.
"""

from __future__ import annotations

import numpy as np

from ..objective import Objective
from ..report import GradientReport
from .algebra import algebra
from .comparisons import other_targets
from .evidence import Case
from .paths import paths
from .shares import shares


def diagnose_entries(report: GradientReport, objective: Objective) -> None:
    """Write into every wrong entry of `report` the mistakes that explain it.

    First come those that explain most of the wrong arrays, for one mistake is likelier than several; among these the
    most specific.
    """
    if report.mode == "directional":
        return  # a few slopes are known, not the gradient
    others = {name: entry.numeric for name, entry in report.entries.items()}
    cases = {e.name: Case(e, objective) for e in report.entries.values() if e.verdict == "wrong"}
    for case in cases.values():
        algebra(case, others)
        shares(case)
    other_targets(cases, report, objective)
    paths(cases, report, objective)
    explained: dict[str, int] = {}
    for case in cases.values():
        for mistake in {d.mistake for _, d in case.found}:
            explained[mistake] = explained.get(mistake, 0) + 1
    for case in cases.values():
        case.entry.diagnoses = sorted(case.ranked(), key=lambda d: -explained[d.mistake])
        if not case.found and not case.entry.reason:
            case.entry.reason = f"none of the mistakes tried explains it; the worst elements: {worst(case)}"


def worst(case: Case, count: int = 3) -> str:
    """The elements that differ most, with what was given and what is true."""
    off = np.nan_to_num(np.abs(case.given - case.true))
    places = [np.unravel_index(int(i), off.shape) for i in np.argsort(off, axis=None)[::-1][:count]]
    return ", ".join(f"[{','.join(map(str, p))}] given {case.given[p]:.4g}, true {case.true[p]:.4g}" for p in places)
