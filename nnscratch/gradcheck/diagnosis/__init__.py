"""From a wrong gradient to the mistake that explains it.

Every hypothesis computes the gradient that its mistake would give and is kept only if that *is* the gradient given: see
evidence.py. algebra.py needs only the two arrays, shares.py asks forward for every output's share.
"""

from __future__ import annotations

from ..objective import Objective
from ..report import GradientReport
from .algebra import algebra
from .evidence import Case
from .shares import shares


def diagnose_entries(report: GradientReport, objective: Objective) -> None:
    """Write into every wrong entry of `report` the mistakes that explain it, the most specific first."""
    if report.mode == "directional":
        return  # a few slopes are known, not the gradient
    others = {name: entry.numeric for name, entry in report.entries.items()}
    for entry in report.entries.values():
        if entry.verdict == "wrong":
            case = Case(entry, objective)
            algebra(case, others)
            shares(case)
            entry.diagnoses = case.ranked()
