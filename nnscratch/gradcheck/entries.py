"""EntryChecker: compare the gradient of one array with finite differences, and make its Entry for the report."""

from __future__ import annotations

from typing import Any

import numpy as np

from .differences import Differences
from .directional import DirectionalDerivatives, describe_wrong_elements, directional_entry, measure_directions
from .kinks import allow_kinks_per_output, remeasure
from .noise import is_noisy, measure_through_noise, measure_with_larger_steps, noise_reason, steady_derivative
from .report import Entry, GradientReport
from .sampling import sample_indices
from .settings import Settings
from .verdict import is_comparable, unusable_entry

DIAGNOSIS_DIRECTIONS = 3  # the number of directions for a diagnosis
FLOAT32_DIRECTIONS = 6  # the number of additional directions for code that computes in float32
LOCATE_BUDGET = 300  # the largest number of forward passes in a search for wrong elements
MAX_REFERENCE_SIZE = 5000  # if backward's gradient is unusable, measure the true gradient of arrays up to this size


class EntryChecker:
    """Compare the gradients of arrays with finite differences, and return an Entry for each array.

    Parameters
    ----------
    differences : Differences
    settings : Settings
    rng : numpy.random.Generator
        The generator that draws the samples and the directions.

    Attributes
    ----------
    gradients : dict of str to ndarray
        The complete gradient that backward returned for each array.
    directional : dict of str to DirectionalDerivatives
        In directional mode, for each array with a wrong gradient: the directions, and the derivatives along them.
    """

    def __init__(self, differences: Differences, settings: Settings, rng: np.random.Generator):
        self.differences, self.settings, self.rng = differences, settings, rng
        self.gradients: dict[str, np.ndarray] = {}
        self.directional: dict[str, DirectionalDerivatives] = {}
        self._noisy: bool | None = None

    def entry(self, name: str, array: Any, analytic: Any) -> Entry:
        """Return the entry of one array, with its verdict. `analytic` is the gradient from backward, or None."""
        mode, missing = self.settings.mode, analytic is None
        if missing:
            analytic = np.zeros(array.shape)
        self.gradients[name] = analytic
        if analytic.dtype.kind not in "fiub":
            unknown = np.full(array.shape, np.nan)
            return unusable_entry(name, array, unknown, f"the gradient has dtype {analytic.dtype}")
        if analytic.shape != array.shape:
            entry = unusable_entry(name, array, analytic, f"the gradient has shape {analytic.shape}, not {array.shape}")
            if mode == "directional" and array.size > DIAGNOSIS_DIRECTIONS:
                if self.settings.diagnose:
                    self.directional[name] = measure_directions(self.differences, array, DIAGNOSIS_DIRECTIONS, self.rng)
            elif array.size <= MAX_REFERENCE_SIZE:
                entry.numeric = self.differences.element_derivatives(array, list(np.ndindex(array.shape)))[0]
            return entry
        if not np.isfinite(analytic).all():
            first = tuple(int(i) for i in np.argwhere(~np.isfinite(analytic))[0])
            entry = unusable_entry(name, array, analytic, f"the gradient is not finite, first at {list(first)}")
            entry.worst_index = first
            if array.size <= MAX_REFERENCE_SIZE:
                indices = [first] if mode == "directional" else list(np.ndindex(array.shape))
                entry.numeric = self.differences.element_derivatives(array, indices)[0]
            return entry
        if mode == "directional" and array.size > self.settings.directions:
            entry = self.along_directions(name, array, analytic)
        else:
            indices = list(np.ndindex(array.shape)) if mode == "full" else self._sample(array, analytic)
            entry = self.by_elements(name, array, analytic, indices)
        if missing and entry.verdict == "wrong":
            entry.reason = (
                f"backward returned None instead of a gradient; if {name} is not trained, use only= without it"
            )
        return entry

    def _sample(self, array: Any, analytic: np.ndarray) -> list[tuple]:
        return sample_indices(array, analytic, self.settings.samples, self.rng)

    def by_elements(self, name: str, array: Any, analytic: np.ndarray, indices: list[tuple]) -> Entry:
        """Compare the gradient with finite differences at the elements `indices`, and return the entry."""
        differences = self.differences
        before = differences.evaluations
        numeric, uncertainty, low, high = differences.element_derivatives(array, indices)
        easy = differences.evaluations - before <= 4 * len(indices) and bool(np.all(numeric != 0))
        differences.refine_with_complex_step(name, indices, numeric, uncertainty, low, high)
        uncertainty += differences.rounding.get(name, 0.0)
        kinks = int((np.nan_to_num(high) > np.nan_to_num(low)).sum())
        entry = Entry(name, array.shape, analytic, numeric, uncertainty, low, high, kinks=kinks)
        entry.checked = len(indices)
        if differences.judge(entry).verdict == "wrong":
            allow_kinks_per_output(differences, entry, array)
            if not easy and self._f_is_noisy():
                measure_through_noise(differences, entry, array)
            else:
                remeasure(differences, entry, array)
                differences.judge(entry)
        if entry.verdict == "cannot tell" and differences.itemsize == 4:
            movers = {index: differences.element_mover(array, index) for index in indices}
            measure_with_larger_steps(differences, entry, movers)
        return entry

    def _f_is_noisy(self) -> bool:
        """Return True if the noise in f is larger than the rounding errors of float64.

        The noise is measured once, at the first call. If finite differences gave all derivatives at the first step, and
        no derivative is zero, noise cannot be the reason for a wrong verdict. In this case, do not call this method.
        """
        if self._noisy is None:
            self._noisy = self.differences.itemsize == 8 and is_noisy(self.differences, self.rng)
        return self._noisy

    def along_directions(self, name: str, array: Any, analytic: np.ndarray) -> Entry:
        """Compare the gradient with finite differences along random directions, and return the entry.

        If the gradient is wrong along a direction, measure derivatives along enough directions for a diagnosis.

        At a kink, f has no derivative, but it has two one-sided derivatives. If several units, such as ReLUs, are at
        their kinks, a right gradient may give a derivative outside the interval between the one-sided derivatives. So
        if the gradient looks wrong only along directions with kinks, a sample of single elements decides the verdict.
        """
        before = self.differences.evaluations
        derivatives = self._directions(name, array, self.settings.directions)
        easy = self.differences.evaluations - before <= 4 * len(derivatives) and all(d.value for _, d in derivatives)
        entry = self.differences.judge(directional_entry(name, analytic, derivatives))
        if entry.verdict == "wrong" and not easy and self._f_is_noisy():
            movers = [self.differences.direction_mover(array, v) for v, _ in derivatives]
            derivatives = [(v, steady_derivative(m, 1.0)) for (v, _), m in zip(derivatives, movers, strict=True)]
            entry = self.differences.judge(directional_entry(name, analytic, derivatives))
            if entry.verdict == "cannot tell":
                entry.reason = noise_reason(float(entry.uncertainty.max()))
        if entry.verdict == "cannot tell" and self.differences.itemsize == 4:
            # The derivative along a direction may be small by chance, and then round-off hides it. So measure the
            # derivatives along additional directions.
            derivatives += self._directions(name, array, FLOAT32_DIRECTIONS)
            entry = self.differences.judge(directional_entry(name, analytic, derivatives))
            movers = {(k,): self.differences.direction_mover(array, v) for k, (v, _) in enumerate(derivatives)}
            measure_with_larger_steps(self.differences, entry, movers)
            for k, (_, d) in enumerate(derivatives):
                d.value, d.low, d.high = float(entry.numeric[k]), float(entry.low[k]), float(entry.high[k])
                d.uncertainty = float(entry.uncertainty[k])
        smooth = [(v, d) for v, d in derivatives if not d.kink]
        if entry.verdict != "wrong":
            return entry
        if len(smooth) < len(derivatives) and (
            not smooth or self.differences.judge(directional_entry(name, analytic, smooth)).verdict != "wrong"
        ):
            entry = self.by_elements(name, array, analytic, self._sample(array, analytic))
            if entry.verdict == "right" and entry.checked < array.size:
                entry.verdict = "cannot tell"
                entry.reason = (
                    f"f has several kinks along the directions; the {entry.checked} elements that were compared one "
                    f"by one are right"
                )
        elif self.settings.diagnose:
            missing = DIAGNOSIS_DIRECTIONS - self.settings.directions
            derivatives += self._directions(name, array, missing)
            self.directional[name] = derivatives
            entry = self.differences.judge(directional_entry(name, analytic, derivatives))
        return entry

    def _directions(self, name: str, array: Any, count: int) -> DirectionalDerivatives:
        """Measure derivatives along `count` random directions. The uncertainty includes the rounding of backward."""
        found = measure_directions(self.differences, array, count, self.rng)
        for v, d in found:
            d.uncertainty += self.differences.rounding.get(name, 0.0) * float(np.linalg.norm(v))
        return found

    def locate_unexplained(self, report: GradientReport) -> None:
        """In directional mode, name the wrong elements in the `reason` of each entry that has no diagnosis."""
        limit = self.differences.evaluations + LOCATE_BUDGET
        for name, derivatives in self.directional.items():
            entry = report[name]
            if not entry.diagnoses and is_comparable(entry) and self.differences.evaluations < limit:
                array = self.differences.projection.variables[name]
                entry.reason += describe_wrong_elements(
                    self.differences, array, self.gradients[name], derivatives, self.settings.samples, self.rng
                )
