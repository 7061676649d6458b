"""What every hypothesis is tested with: the gradient given, the true one, and how well a third one fits.

A hypothesis computes the gradient that its mistake would give. It is believed if that explains the difference: what is
left is under a ten-thousandth of the gradient, while the true gradient leaves much more.

along.py does the same where only slopes of the true gradient are known.
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
    def shape(self) -> tuple[int, ...]:
        """That of the array, and of its true gradient."""
        return self.entry.shape

    @property
    def extent(self) -> str:
        """How much of the array was compared."""
        return f"in all {np.size(self.true)} element(s)"

    @property
    def yardstick(self) -> str:
        """What a misfit is relative to."""
        return "the gradient"

    @property
    def smooth(self) -> np.ndarray:
        """Where the true gradient is known and is one number: no kink."""
        return np.isfinite(self.true) & ~(np.nan_to_num(self.entry.high) > np.nan_to_num(self.entry.low))

    def rounding(self) -> float:
        """The largest difference, relative to what the errors of rounding are relative to."""
        given, true = self.seen
        return float(np.abs(given - true).max(initial=0.0)) / self.scale

    def wrong_elements(self) -> int:
        """How many numbers a hypothesis about this array must get right: few numbers are met by chance."""
        given, true = self.seen
        return int((np.abs(given - true) > 1e-6 * max(float(np.abs(true).max(initial=0)), 1e-300)).sum())

    elementwise = True  # what is compared are elements
    usable = True  # what is wrong stands out from what differences cannot tell

    @property
    def near(self) -> Any:
        """How far the two `seen` may be apart and count as equal."""
        return GOOD * max(float(np.abs(self.seen[0]).max(initial=0.0)), 1e-300)

    def blocks(self, axis: int, count: int) -> tuple[list[np.ndarray], list[np.ndarray], Any] | None:
        """`seen` of each of `count` blocks along an axis, and how far they may be apart; None where not known."""
        if not np.isfinite(self.true).all():
            return None
        g, t = ([part.ravel() for part in np.split(a, count, axis)] for a in (self.given, self.true))
        return g, t, GOOD * self.scale

    def shifted_true(self, axis: int, step: int, inside: tuple) -> bool:
        """True if `inside`, all but the end of it, the gradient given is the true one, shifted along an axis."""
        off = np.abs(np.roll(self.true, step, axis) - self.given)[inside]
        return bool(np.isfinite(off).all()) and float(off.max()) <= GOOD * self.scale

    def look(self, array: np.ndarray) -> np.ndarray:
        """What is known of the true gradient, seen of `array`: the elements measured."""
        return array[np.isfinite(self.true)]

    @property
    def seen(self) -> tuple[np.ndarray, np.ndarray]:
        """The numbers that can be compared: of the gradient given, and of the true one."""
        return self.look(self.given), self.look(self.true)

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
        self.add(rank, mistake, f"{evidence}: fits to {misfit:.0e} of {self.yardstick}", place, misfit)
        return True

    def misfit_of_true(self, turned: Any) -> float:
        """The largest difference between `turned` and the true gradient, relative to the gradient's size."""
        return self.misfit(turned, self.true)

    def test_other(self, turned: Any, rank: float, mistake: str, evidence: str) -> bool:
        """Write the mistake down if `turned`, the gradient given after undoing it, is the true gradient."""
        misfit = self.misfit_of_true(turned)
        if misfit > GOOD:
            return False
        self.add(rank, mistake, f"{evidence}, to {misfit:.0e} of {self.yardstick}", "", misfit)
        return True

    def test_seen(self, rank: float, numbers: np.ndarray, mistake: str, evidence: str) -> bool:
        """The same for a hypothesis that gives what is compared: here the elements, in a flat row."""
        return self.test(rank, numbers.reshape(self.shape), mistake, evidence)

    def add(self, rank: float, mistake: str, evidence: str, place: str = "", misfit: float = 0.0) -> None:
        self.found.append((rank, Diagnosis(mistake, evidence, place or self.name, misfit)))

    def ranked(self) -> list[Diagnosis]:
        """Each mistake once, the most specific first."""
        out: dict[str, Diagnosis] = {}
        for _, diagnosis in sorted(self.found, key=lambda pair: pair[0]):
            out.setdefault(diagnosis.mistake, diagnosis)
        return list(out.values())
