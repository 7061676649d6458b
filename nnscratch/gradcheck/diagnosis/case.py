"""Case: one wrong gradient, and the test of a hypothesis about it.

A hypothesis is a mistake that backward may contain. The predicted gradient is the gradient that a backward with this
mistake returns. For the mistake "sign flipped", it is the true gradient times -1. The misfit is the largest difference
between the predicted gradient and backward's gradient, divided by the size of the gradient. The hypothesis is accepted
if the misfit is less than 1e-4. The misfit must also be less than a tenth of the error of backward's gradient.
Otherwise, if this error is tiny, every hypothesis that predicts nearly the true gradient would be accepted.
directional_case.py contains the same test for derivatives along directions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..projection import Projection
from ..report import Diagnosis, Entry

MAX_MISFIT = 1e-4


@dataclass
class Case:
    """One wrong gradient, and the elements of the true gradient.

    Attributes
    ----------
    entry : Entry
    projection : Projection
    found : list of (float, Diagnosis)
        The mistakes that explain the gradient, each with its rank. A specific mistake, such as
        "transposed", has a smaller rank than a general mistake, such as "scaled by a constant".
    few : bool
        True if the wrong gradients have so few elements that a mistake may explain them by chance. Then the diagnosis
        tests the mistakes again with other values of the arrays: see other_points.py.
    by_element : bool
        True if the elements of the true gradient are known; False in a `DirectionalCase`.
    usable : bool
        True if the errors of backward's gradient are larger than the uncertainty of the finite differences.
    """

    entry: Entry
    projection: Projection
    found: list[tuple[float, Diagnosis]] = field(default_factory=list)
    few: bool = False

    by_element = True
    usable = True

    @property
    def given(self) -> np.ndarray:
        """The gradient that backward returned."""
        return self.entry.analytic

    @property
    def true(self) -> np.ndarray:
        """The gradient from finite differences. It is NaN at elements that were not measured."""
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
        """A text for the report that says which elements were compared, for example "in all 12 element(s)"."""
        return f"in all {np.size(self.true)} element(s)"

    @property
    def misfit_unit(self) -> str:
        """A misfit is a difference, divided by a size. This text names the size in the report."""
        return "the size of the gradient"

    def largest_difference(self, misfit: float) -> str:
        """Return a text for the report that gives the misfit: "the largest difference is 2e-09 of ..."."""
        return f"the largest difference is {misfit:.0e} of {self.misfit_unit}"

    @property
    def smooth(self) -> np.ndarray:
        """True at elements whose true gradient is known, and at which the outputs have a derivative (no kink)."""
        return np.isfinite(self.true) & ~(np.nan_to_num(self.entry.high) > np.nan_to_num(self.entry.low))

    @property
    def same_shape(self) -> bool:
        """True if the gradient from backward has the right shape, and all its elements are finite."""
        return np.shape(self.given) == np.shape(self.true) and bool(np.isfinite(self.given).all())

    @property
    def scale(self) -> float:
        """The size of the gradient: the largest element in backward's gradient or in the true gradient."""
        known = np.isfinite(self.true)
        largest = float(np.abs(self.true[known]).max(initial=0.0))
        finite = self.given[np.isfinite(self.given)]
        return max(largest, float(np.abs(finite).max(initial=0.0)), 1e-300)

    # --- the values that are compared: elements, or derivatives along directions in a DirectionalCase ----------------

    def observe(self, array: np.ndarray) -> np.ndarray:
        """Return the elements of `array` at which the true gradient was measured."""
        return array[np.isfinite(self.true)]

    @property
    def observed(self) -> tuple[np.ndarray, np.ndarray]:
        """The values of the gradient from backward and of the true gradient, at the elements that were measured."""
        return self.observe(self.given), self.observe(self.true)

    @property
    def max_misfit(self) -> float:
        """The largest misfit of an accepted mistake: the smaller of 1e-4 and a tenth of backward's error."""
        return min(MAX_MISFIT, 0.1 * self.rounding_error()) if self.same_shape else MAX_MISFIT

    @property
    def tolerance(self) -> Any:
        """Two `observed` values count as equal if they differ by at most this number."""
        return self.max_misfit * max(float(np.abs(self.observed[0]).max(initial=0.0)), 1e-300)

    def rounding_error(self) -> float:
        """Return the largest difference between backward's gradient and the true gradient, divided by `scale`."""
        given, true = self.observed
        return float(np.abs(given - true).max(initial=0.0)) / self.scale

    def wrong_elements(self) -> int:
        """Return the number of wrong elements. If it is 1 or 2, a hypothesis may fit by chance."""
        given, true = self.observed
        return int((np.abs(given - true) > 1e-6 * max(float(np.abs(true).max(initial=0)), 1e-300)).sum())

    def block_values(self, axis: int, count: int) -> tuple[list[np.ndarray], list[np.ndarray], Any] | None:
        """Split the gradients into `count` blocks along `axis`. Return (given, true, tolerance).

        `given` contains the blocks of the gradient from backward, and `true` contains those of the true gradient.
        Return None if elements of the true gradient are unknown.
        """
        if not np.isfinite(self.true).all():
            return None
        g, t = ([part.ravel() for part in np.split(a, count, axis)] for a in (self.given, self.true))
        return g, t, self.max_misfit * self.scale

    def is_shifted(self, axes: tuple[int, ...], step: int, inside: tuple) -> bool:
        """Return True if the gradient from backward is the true gradient, shifted by `step` along each of `axes`.

        `inside` is a tuple of slices. Only the elements that it selects are compared, and at least one of these
        elements must be wrong in the gradient from backward.
        """
        off = np.abs(np.roll(self.true, (step,) * len(axes), axes) - self.given)[inside]
        error = np.abs(self.true - self.given)[inside]
        return bool(off.max() <= self.max_misfit * self.scale < error.max())  # False if a value is NaN (unknown)

    def misfit(self, candidate: Any, given: Any = None) -> float:
        """Return the largest difference between `candidate` and the gradient from backward, divided by `scale`.

        If `given` is an array, compare `candidate` with `given` instead of the gradient from backward.
        """
        given = self.given if given is None else given
        if np.shape(candidate) != np.shape(given):
            return float("inf")
        known = np.isfinite(candidate) & np.isfinite(given)
        if not known.any():
            return float("inf")
        return float(np.abs(candidate - given)[known].max() / self.scale)

    def misfit_of_true(self, corrected: Any) -> float:
        """Return the largest difference between `corrected` and the true gradient, divided by `scale`."""
        return self.misfit(corrected, self.true)

    def is_nothing(self, candidate: Any) -> bool:
        """Return True if `candidate` is zero, apart from rounding.

        Many mistakes give a gradient of zero, so such a gradient does not show which mistake backward contains.
        """
        return not bool((np.abs(self.observe(candidate)) > MAX_MISFIT * self.scale).any())

    # --- tests -------------------------------------------------------------------------------------------------------

    def test(self, rank: float, candidate: Any, mistake: str, evidence: str, place: str = "") -> bool:
        """Add the mistake to `found` if `candidate`, the gradient with this mistake, equals backward's gradient."""
        misfit = self.misfit(candidate)
        if misfit >= self.max_misfit or self.is_nothing(candidate):
            return False
        self.add(rank, mistake, f"{evidence}; {self.largest_difference(misfit)}", place, misfit)
        return True

    def test_undone(self, corrected: Any, rank: float, mistake: str, evidence: str) -> bool:
        """Add the mistake to `found` if `corrected` equals the true gradient.

        `corrected` is the gradient from backward after the mistake is undone, for example transposed back.
        """
        misfit = self.misfit_of_true(corrected)
        if misfit >= self.max_misfit:
            return False
        self.add(rank, mistake, f"{evidence}; {self.largest_difference(misfit)}", "", misfit)
        return True

    def test_observed(self, rank: float, values: np.ndarray, mistake: str, evidence: str) -> bool:
        """Add the mistake to `found` if a gradient with this mistake equals the gradient from backward.

        `values` are the values that `observe` returns for the gradient with this mistake.
        """
        return self.test(rank, values.reshape(self.shape), mistake, evidence)

    def add(self, rank: float, mistake: str, evidence: str, place: str = "", misfit: float = 0.0) -> None:
        """Add to `found` a mistake that explains the gradient."""
        self.found.append((rank, Diagnosis(mistake, evidence, place or self.name, misfit)))

    def ranked(self, explained: Mapping[tuple[str, str], int] | None = None) -> list[Diagnosis]:
        """Return one diagnosis for each mistake in `found`, the most specific mistake first.

        `explained` maps (mistake, place) to the number of wrong arrays that the mistake explains at this place. If a
        mistake is found at several places, choose the place that explains the most arrays.
        """
        out: dict[str, Diagnosis] = {}
        for _, diagnosis in sorted(self.found, key=lambda pair: pair[0]):
            best = out.setdefault(diagnosis.mistake, diagnosis)
            if explained and explained[diagnosis.mistake, diagnosis.place] > explained[best.mistake, best.place]:
                out[diagnosis.mistake] = diagnosis
        return list(out.values())
