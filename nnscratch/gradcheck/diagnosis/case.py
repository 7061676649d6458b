"""Case: one wrong gradient, and the test of a hypothesis about it.

A hypothesis is accepted if the gradient that it predicts differs from the gradient given by less than a ten-thousandth
of the gradient's size. directional_case.py does the same where only derivatives along directions are known.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..projection import Projection
from ..report import Diagnosis, Entry

MAX_MISFIT = 1e-4


@dataclass
class Case:
    """One wrong gradient, with the true gradient by elements.

    Attributes
    ----------
    entry : Entry
    projection : Projection
    found : list of (float, Diagnosis)
        The explanations that fit, each with its rank. A smaller rank is a more specific mistake.
    by_element : bool
        True here: single elements are compared.
    usable : bool
        True if the errors are larger than the uncertainty of the differences.
    """

    entry: Entry
    projection: Projection
    found: list[tuple[float, Diagnosis]] = field(default_factory=list)

    by_element = True
    usable = True

    @property
    def given(self) -> np.ndarray:
        """The gradient that backward gave."""
        return self.entry.analytic

    @property
    def true(self) -> np.ndarray:
        """The gradient by differences; NaN at elements that were not measured."""
        return self.entry.numeric

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the array, and of its true gradient."""
        return self.entry.shape

    @property
    def extent(self) -> str:
        """The elements that were compared, in words for the evidence."""
        return f"in all {np.size(self.true)} element(s)"

    @property
    def misfit_unit(self) -> str:
        """The quantity that a misfit is relative to, in words for the evidence."""
        return "the gradient"

    @property
    def smooth(self) -> np.ndarray:
        """True at elements whose true gradient is known and that do not lie on a kink."""
        return np.isfinite(self.true) & ~(np.nan_to_num(self.entry.high) > np.nan_to_num(self.entry.low))

    @property
    def same_shape(self) -> bool:
        """True if the gradient given has the right shape, and only finite elements."""
        return np.shape(self.given) == np.shape(self.true) and bool(np.isfinite(self.given).all())

    @property
    def scale(self) -> float:
        """The size of the gradient: the largest element, given or true."""
        known = np.isfinite(self.true)
        largest = float(np.abs(self.true[known]).max(initial=0.0))
        finite = self.given[np.isfinite(self.given)] if self.given.size else np.zeros(1)
        return max(largest, float(np.abs(finite).max(initial=0.0)), 1e-300)

    # --- what can be compared: here elements, in a DirectionalCase derivatives along directions ----------------------

    def observe(self, array: np.ndarray) -> np.ndarray:
        """Return the values of `array` that can be compared with the true gradient: the measured elements."""
        return array[np.isfinite(self.true)]

    @property
    def observed(self) -> tuple[np.ndarray, np.ndarray]:
        """The values of the gradient given, and of the true one, that can be compared."""
        return self.observe(self.given), self.observe(self.true)

    @property
    def tolerance(self) -> Any:
        """The largest difference between two `observed` values that count as equal."""
        return MAX_MISFIT * max(float(np.abs(self.observed[0]).max(initial=0.0)), 1e-300)

    def rounding_error(self) -> float:
        """Return the largest difference, relative to the size that determines the rounding errors."""
        given, true = self.observed
        return float(np.abs(given - true).max(initial=0.0)) / self.scale

    def wrong_elements(self) -> int:
        """Return how many elements a hypothesis must explain. One or two can be explained by chance."""
        given, true = self.observed
        return int((np.abs(given - true) > 1e-6 * max(float(np.abs(true).max(initial=0)), 1e-300)).sum())

    def block_values(self, axis: int, count: int) -> tuple[list[np.ndarray], list[np.ndarray], Any] | None:
        """Return the values, given and true, of `count` blocks along `axis`, and the tolerance; None if unknown."""
        if not np.isfinite(self.true).all():
            return None
        g, t = ([part.ravel() for part in np.split(a, count, axis)] for a in (self.given, self.true))
        return g, t, MAX_MISFIT * self.scale

    def is_shifted(self, axis: int, step: int, inside: tuple) -> bool:
        """Return True if the gradient given is the true one shifted along `axis`, compared in the part `inside`."""
        off = np.abs(np.roll(self.true, step, axis) - self.given)[inside]
        return bool(np.isfinite(off).all()) and float(off.max()) <= MAX_MISFIT * self.scale

    def misfit(self, candidate: Any, given: Any = None) -> float:
        """Return the largest difference between `candidate` and the gradient given, relative to `scale`."""
        given = self.given if given is None else given
        if np.shape(candidate) != np.shape(given):
            return float("inf")
        known = np.isfinite(candidate) & np.isfinite(given)
        if not known.any():
            return float("inf")
        return float(np.abs(candidate - given)[known].max() / self.scale)

    def misfit_of_true(self, corrected: Any) -> float:
        """Return the largest difference between `corrected` and the true gradient, relative to `scale`."""
        return self.misfit(corrected, self.true)

    # --- tests -------------------------------------------------------------------------------------------------------

    def test(self, rank: float, candidate: Any, mistake: str, evidence: str, place: str = "") -> bool:
        """Add the mistake if `candidate`, the gradient that it would give, is the gradient given."""
        misfit = self.misfit(candidate)
        if misfit > MAX_MISFIT:
            return False
        self.add(rank, mistake, f"{evidence}: fits to {misfit:.0e} of {self.misfit_unit}", place, misfit)
        return True

    def test_undone(self, corrected: Any, rank: float, mistake: str, evidence: str) -> bool:
        """Add the mistake if `corrected`, the gradient given with the mistake undone, is the true gradient."""
        misfit = self.misfit_of_true(corrected)
        if misfit > MAX_MISFIT:
            return False
        self.add(rank, mistake, f"{evidence}, to {misfit:.0e} of {self.misfit_unit}", "", misfit)
        return True

    def test_observed(self, rank: float, values: np.ndarray, mistake: str, evidence: str) -> bool:
        """Add the mistake if `values`, the observed values that it would give, are those of the gradient given."""
        return self.test(rank, values.reshape(self.shape), mistake, evidence)

    def add(self, rank: float, mistake: str, evidence: str, place: str = "", misfit: float = 0.0) -> None:
        """Add a mistake that explains the gradient."""
        self.found.append((rank, Diagnosis(mistake, evidence, place or self.name, misfit)))

    def ranked(self) -> list[Diagnosis]:
        """Return one diagnosis for each mistake, the most specific first."""
        out: dict[str, Diagnosis] = {}
        for _, diagnosis in sorted(self.found, key=lambda pair: pair[0]):
            out.setdefault(diagnosis.mistake, diagnosis)
        return list(out.values())
