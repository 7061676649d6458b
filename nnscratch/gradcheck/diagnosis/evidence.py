"""What every hypothesis is tested with: the gradient given, the true one, and how well a third one fits.

A hypothesis computes the gradient that its mistake would give. It is believed if that explains the difference: what is
left is under a ten-thousandth of the gradient, while the true gradient leaves much more.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..objective import Objective
from ..report import Diagnosis, Entry

GOOD = 1e-4


@dataclass
class Case:
    """One wrong gradient.

    Attributes
    ----------
    entry : Entry
    objective : Objective
    given : ndarray
        What backward said.
    true : ndarray
        What differences say; NaN where not looked at.
    found : list of (float, Diagnosis)
        Explanations that fit, with their rank: smaller is more specific.
    """

    entry: Entry
    objective: Objective
    found: list[tuple[float, Diagnosis]] = field(default_factory=list)

    @property
    def given(self) -> np.ndarray:
        return self.entry.analytic

    @property
    def true(self) -> np.ndarray:
        return self.entry.numeric

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def same_shape(self) -> bool:
        return np.shape(self.given) == np.shape(self.true) and bool(np.isfinite(self.given).all())

    @property
    def scale(self) -> float:
        known = np.isfinite(self.true)
        top = float(np.abs(self.true[known]).max(initial=0.0))
        finite = self.given[np.isfinite(self.given)] if self.given.size else np.zeros(1)
        return max(top, float(np.abs(finite).max(initial=0.0)), 1e-300)

    def misfit(self, candidate: Any, given: Any = None) -> float:
        """The largest difference between the gradient given and `candidate`, relative to the gradient's size."""
        given = self.given if given is None else given
        if np.shape(candidate) != np.shape(given):
            return float("inf")
        known = np.isfinite(candidate) & np.isfinite(given)
        if not known.any():
            return float("inf")
        return float(np.abs(candidate - given)[known].max() / self.scale)

    def test(self, rank: float, candidate: Any, mistake: str, evidence: str, place: str = "") -> bool:
        """Write the mistake down if `candidate`, the gradient it would give, is the gradient given."""
        misfit = self.misfit(candidate)
        if misfit > GOOD:
            return False
        self.add(rank, mistake, f"{evidence}: fits to {misfit:.0e} of the gradient", place, misfit)
        return True

    def test_other(self, turned: Any, rank: float, mistake: str, evidence: str) -> bool:
        """Write the mistake down if `turned`, the gradient given after undoing it, is the true gradient."""
        misfit = self.misfit(turned, self.true)
        if misfit > GOOD:
            return False
        self.add(rank, mistake, f"{evidence}, to {misfit:.0e}", "", misfit)
        return True

    def add(self, rank: float, mistake: str, evidence: str, place: str = "", misfit: float = 0.0) -> None:
        self.found.append((rank, Diagnosis(mistake, evidence, place or self.name, misfit)))

    def ranked(self) -> list[Diagnosis]:
        """Each mistake once, the most specific first."""
        out: dict[str, Diagnosis] = {}
        for _, diagnosis in sorted(self.found, key=lambda pair: pair[0]):
            out.setdefault(diagnosis.mistake, diagnosis)
        return list(out.values())
