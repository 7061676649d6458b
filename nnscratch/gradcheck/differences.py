"""What differences say of one objective: derivatives by single elements, and along directions."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import backend
from .complex_step import complex_derivatives
from .numerical import Derivative, differentiate, estimate
from .objective import Objective
from .report import Entry
from .verdict import judge


class Differences:
    """An objective at one point, and how it moves.

    Parameters
    ----------
    objective : Objective
    itemsize : int
        Bytes per number of the coarsest float in it.
    rtol : float or None
        How much an element may differ, relative to itself.

    Attributes
    ----------
    centre, size : float
        f as it is, and the sum of the absolute values of all that it adds up.
    evaluations : int
        Forward passes made.
    complex : bool
        The complex step was used, and confirmed.
    """

    def __init__(self, objective: Objective, itemsize: int, rtol: float | None):
        self.objective, self.itemsize, self.rtol = objective, itemsize, rtol
        self.centre = objective()
        self.size = sum(float(np.abs(terms).sum()) for terms in objective.terms())
        self.evaluations, self.no_complex, self.complex = 0, False, False
        self.near_zero = 0.0  # the largest |f| met, where f itself is zero: what there is to compare with

    def f(self) -> float:
        self.evaluations += 1
        value = self.objective()
        if self.size == 0 and np.isfinite(value):
            self.near_zero = max(self.near_zero, abs(value))
        return value

    def judge(self, entry: Entry) -> Entry:
        judge(entry, self.tolerance(), self.itemsize, self.size or self.near_zero)
        return entry

    def tolerance(self) -> float:
        return self.rtol or (1e-6 if self.itemsize == 8 else 1e-2)

    def elements(self, array: Any, places: list[tuple]) -> tuple[np.ndarray, ...]:
        """Derivatives at `places`: value, uncertainty, low, high; NaN elsewhere."""
        out = [np.full(array.shape, np.nan) for _ in range(4)]
        scale, sizes = 0.0, backend.to_numpy(abs(array[array != 0]))
        usual = float(np.median(sizes)) if sizes.size else 1.0
        for place in places:
            d = self.derivative(array, place, scale, usual)
            scale = max(scale, abs(d.value)) if np.isfinite(d.value) else scale
            for part, value in zip(out, (d.value, d.uncertainty, d.low, d.high), strict=True):
                part[place] = value
        return tuple(out)

    def derivative(
        self, array: Any, place: tuple, scale: float, usual: float = 1.0, stretch: float = 1.0
    ) -> Derivative:
        if array.dtype.itemsize != self.itemsize:  # float64 variables, float32 arithmetic inside
            return estimate(self._along(array, place), self.centre, self.size, stretch, self.itemsize, scale)
        return differentiate(self.f, array, place, self.centre, self.size, scale, usual, stretch)

    def _along(self, array: Any, place: tuple) -> Any:
        value = float(array[place])

        def along(h: float) -> tuple[float, float]:
            array[place] = value + h
            step = float(array[place]) - value
            try:
                return self.f(), step
            finally:
                array[place] = value

        return along

    def sharpen(self, name: str, places: list[tuple], numeric: Any, *rest: Any) -> None:
        """Put the complex step's values, good to the last digit, in the place of differences that confirm them."""
        uncertainty, low, high = rest
        smooth = [p for p in places if low[p] == high[p] and np.isfinite(numeric[p])]
        if not smooth or self.no_complex or self.itemsize < 8:
            return
        found = complex_derivatives(self.objective, name, smooth)
        self.no_complex = found is None
        if found is None:
            return
        self.evaluations += len(smooth)
        at = tuple(np.array(smooth).T) if numeric.ndim else ()
        found = found if numeric.ndim else found[0]
        known = uncertainty[at] <= 1e-3 * np.maximum(np.abs(found), np.abs(numeric[at]).max()) + 1e-12
        close = np.abs(found - numeric[at]) <= 10 * uncertainty[at] + 1e-9 * np.abs(found)
        if np.any(known & ~close):  # not analytic: it drops the imaginary part somewhere
            self.no_complex = True
            return
        for part in (numeric, low, high):
            part[at] = np.where(known, found, part[at])
        uncertainty[at] = np.where(known, 4e-16 * np.maximum(np.abs(found), np.abs(found).max()), uncertainty[at])
        self.complex = True

    def slope(self, array: Any, v: np.ndarray) -> Derivative:
        xp, held = backend.array_module(array), array.copy()
        on_device = xp.asarray(v, dtype=array.dtype)

        def along(h: float) -> tuple[float, float]:
            xp.multiply(on_device, h, out=array)
            array[...] += held
            try:
                return self.f(), h
            finally:
                array[...] = held

        return estimate(along, self.centre, self.size, 1.0, self.itemsize)
