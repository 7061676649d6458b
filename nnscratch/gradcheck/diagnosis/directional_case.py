"""DirectionalCase: a wrong gradient in directional mode.

Let f be the weighted sum of the outputs (projection.py). In directional mode, the elements of the true gradient of f
are unknown. Only the derivatives of f along some directions v are known. Such a derivative is <true, v>, the sum of the
products of the elements of the true gradient and of v. Of two other gradients, all elements are known: the gradient
that backward returned, and the gradient that a hypothesis predicts. So the products of these two gradients with v
can be computed, and compared with each other and with <true, v>.

A random direction changes all elements. Therefore, if two gradients agree along three random directions, all their
elements agree. A hypothesis about a part of the array, such as its first rows, needs new measurements along
directions that change only this part.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..nested import array_module
from ..numerical import Derivative
from ..projection import Projection
from ..report import Entry
from .case import MAX_MISFIT, Case


class DirectionalCase(Case):
    """One wrong gradient in directional mode.

    Parameters
    ----------
    entry : Entry
    projection : Projection
    gradient : ndarray
        The complete gradient that backward returned.
    derivatives : list of (ndarray, Derivative)
        Random directions, each with the derivative of the weighted sum of the outputs along this direction.
    """

    by_element = False
    max_misfit = MAX_MISFIT  # type: ignore[assignment]  # in this class, a misfit is divided by backward's error

    def __init__(
        self,
        entry: Entry,
        projection: Projection,
        gradient: np.ndarray,
        derivatives: list[tuple[np.ndarray, Derivative]],
    ):
        super().__init__(entry, projection)
        self.gradient = gradient
        self.directions = [v for v, _ in derivatives]
        self.slopes = np.array([d.value for _, d in derivatives])
        own = self.observe(gradient) if gradient.shape == entry.shape else 0 * self.slopes
        # At a kink, the derivative may have any value in an interval. The width of the interval counts as noise.
        self.noise = np.array([3 * d.uncertainty + d.high - d.low for _, d in derivatives])
        self.errors = np.abs(own - self.slopes)

    @property
    def usable(self) -> bool:  # type: ignore[override]
        return bool((self.noise <= 1e-3 * self.errors).all())

    @property
    def given(self) -> np.ndarray:
        return self.gradient

    @property
    def true(self) -> np.ndarray:
        """An array of NaN, because no element of the true gradient is known."""
        return np.broadcast_to(np.nan, self.shape)

    @property
    def extent(self) -> str:
        return f"along {len(self.directions)} random directions"

    @property
    def misfit_unit(self) -> str:
        return f"the error {self.extent}"

    @property
    def scale(self) -> float:
        return max(float(np.abs(self.slopes).max()), float(self.errors.max()), 1e-300)

    def observe(self, array: np.ndarray) -> np.ndarray:
        """For each direction v, return the sum of the products of the elements of `array` and v.

        If `array` is the gradient of the weighted sum of the outputs, the result is the derivative of this sum along v.
        """
        return np.array([float(np.vdot(array, v)) for v in self.directions])

    @property
    def observed(self) -> tuple[np.ndarray, np.ndarray]:
        return self.observe(self.given), self.slopes

    @property
    def tolerance(self) -> Any:
        return MAX_MISFIT * self.errors + self.noise if self.usable else 0.0

    def rounding_error(self) -> float:
        # <given, v> is a sum. The rounding errors of its terms have random signs, so the error of the sum is about as
        # large as the norm of the terms, times the machine epsilon.
        sizes = np.array([np.linalg.norm(self.given * v) for v in self.directions])
        return float((self.errors / np.maximum(sizes, 1e-300)).max())

    def wrong_elements(self) -> int:
        """Return 1 if one wrong element can explain the errors along all directions, else the size of the array."""
        off = self.observe(self.given) - self.slopes
        moves = np.array([np.ravel(v) for v in self.directions])
        lengths = np.linalg.norm(moves, axis=0) * np.linalg.norm(off)
        cosines = np.abs(off @ moves) / np.maximum(lengths, 1e-300)  # a cosine is 1 if one element explains the errors
        return 1 if (cosines > 1 - 1e-5).any() and moves.shape[1] < 1000 else moves.shape[1]

    def measure(self, v: np.ndarray, h: float = 2e-5) -> float:
        """Return the true derivative of the weighted sum of the outputs along `v`, from two forward passes."""
        array = self.projection.variables[self.name]
        held, v = array.copy(), array_module(array).asarray(v)
        try:
            f = []
            for step in (h, -h):
                array[...] = held + step * v
                f.append(self.projection())
        finally:
            array[...] = held
        return (f[0] - f[1]) / (2 * h)

    def block_values(self, axis: int, count: int) -> tuple[list[np.ndarray], list[np.ndarray], Any] | None:
        """Return (given, true, tolerance), as in `Case`, but with derivatives in place of elements.

        Split each direction v into `count` directions, each of which changes only one block along `axis`. Measure the
        derivatives along these directions. Return None if their sum differs from the derivative along v, or if no block
        is right.
        """
        if not self.usable:
            return None
        g, t = np.zeros((2, count, len(self.directions)))
        tolerance = np.zeros(len(self.directions))
        for d, v in enumerate(self.directions):
            for k, block in enumerate(np.array_split(np.arange(self.shape[axis]), count)):
                part, at = np.zeros(self.shape), (slice(None),) * axis + (block,)
                part[at] = v[at]
                g[k, d], t[k, d] = np.vdot(self.given, part), self.measure(part)
            tolerance[d] = MAX_MISFIT * self.errors[d] + 3 * abs(t[:, d].sum() - self.slopes[d])
            if tolerance[d] > 1e-2 * self.errors[d] or (np.abs(g[:, d] - t[:, d]) > tolerance[d]).all():
                return None
        return list(g), list(t), tolerance

    def is_shifted(self, axes: tuple[int, ...], step: int, inside: tuple) -> bool:
        wrong = False
        for v, error, noise in zip(self.directions, self.errors, self.noise, strict=True):
            part = np.zeros(self.shape)
            part[inside] = v[inside]
            given, limit = np.vdot(self.given, part), MAX_MISFIT * error + noise
            if not abs(self.measure(np.roll(part, (-step,) * len(axes), axes)) - given) <= limit:
                return False
            wrong = wrong or abs(self.measure(part) - given) > limit
        return wrong

    def test_observed(self, rank: float, values: np.ndarray, mistake: str, evidence: str) -> bool:
        misfit = self.misfit_along(values, self.observe(self.given)) if self.same_shape else float("inf")
        if misfit >= self.max_misfit or not (np.abs(values) > MAX_MISFIT * self.scale).any():
            return False
        self.add(rank, mistake, f"{evidence}; {self.largest_difference(misfit)}", "", misfit)
        return True

    def misfit(self, candidate: Any, given: Any = None) -> float:
        if np.shape(candidate) != self.shape or np.shape(self.given) != self.shape:
            return float("inf")
        return self.misfit_along(self.observe(candidate), self.observe(self.given))

    def misfit_of_true(self, corrected: Any) -> float:
        if np.shape(corrected) != self.shape:
            return float("inf")
        return self.misfit_along(self.observe(corrected), self.slopes)

    def misfit_along(self, slopes: np.ndarray, wanted: np.ndarray) -> float:
        """Return the largest difference between `slopes` and `wanted`, which are derivatives along the directions.

        Before the comparison, the difference along each direction is divided by backward's error along this direction.
        """
        off = np.maximum(np.abs(slopes - wanted) - self.noise, 0) / np.maximum(self.errors, 1e-300)
        return float(off.max()) if self.usable and np.isfinite(off).all() else float("inf")
