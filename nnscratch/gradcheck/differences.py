"""Differences: numeric derivatives with respect to single elements, and along directions.

The differentiated function is f, the weighted sum of the outputs (projection.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .complex_step import complex_derivatives
from .nested import array_module
from .numerical import Derivative, differentiate, estimate, typical_size
from .projection import Projection
from .report import Entry
from .verdict import set_verdict


class Differences:
    """Numeric derivatives of f, the weighted sum of the outputs, at the current values of the arrays.

    Parameters
    ----------
    projection : Projection
    itemsize : int
        The number of bytes of one value in the least precise float dtype of the computation.
    rtol : float or None
        The relative difference allowed at each element. None means 1e-6 in float64, and 1e-2 in float32.
    rounding : dict of str to float, optional
        For each array, the largest error that rounding causes in backward's gradient.

    Attributes
    ----------
    centre, magnitude : float
        f for the current values of the arrays, and the sum of the absolute values of its terms R * y. Here y are the
        outputs, and R are their weights.
    evaluations : int
        The number of forward passes.
    complex_step_used, complex_step_failed : bool
        `complex_step_used` is True if the complex step gave values that the differences confirm.
        `complex_step_failed` is True if the complex step did not work for this code.
    """

    def __init__(
        self, projection: Projection, itemsize: int, rtol: float | None, rounding: dict[str, float] | None = None
    ):
        self.projection, self.itemsize, self.rtol, self.rounding = projection, itemsize, rtol, rounding or {}
        self.centre = projection()
        self.magnitude = sum(float(np.abs(terms).sum()) for terms in projection.terms())
        self.bar: Any = None  # a progress bar over the elements
        self.evaluations, self.complex_step_failed, self.complex_step_used = 0, False, False
        self.largest_value = 0.0  # the largest |f| so far; used instead of `magnitude` if `magnitude` is zero

    def f(self) -> float:
        """Run forward, count this run, and return f."""
        self.evaluations += 1
        value = self.projection()
        if self.magnitude == 0 and np.isfinite(value):
            self.largest_value = max(self.largest_value, abs(value))
        return value

    def has_drifted(self) -> bool:
        """Return True if forward now gives another f than at the start of the check.

        Then a forward or backward pass of the check has changed the state of the code.
        """
        epsilon = {8: 2.2e-16, 4: 1.2e-7, 2: 1e-3}[self.itemsize]
        start, end = self.projection.weighted_sum(self.projection.outputs), self.projection()
        return bool(abs(end - start) > 1e3 * epsilon * max(self.magnitude, abs(start)))

    def judge(self, entry: Entry) -> Entry:
        """Set the verdict of `entry`, and return `entry`."""
        set_verdict(entry, self.tolerance(), self.itemsize, self.magnitude or self.largest_value)
        return entry

    def tolerance(self) -> float:
        """Return the relative difference allowed at each element."""
        return self.rtol or (1e-6 if self.itemsize == 8 else 1e-2)

    def element_derivatives(self, array: Any, indices: list[tuple]) -> tuple[np.ndarray, ...]:
        """Measure the derivatives of f with respect to the elements of `array` at `indices`.

        Return four arrays with the shape of `array`: value, uncertainty, low and high of each `Derivative`. They are
        NaN at the elements that were not measured.
        """
        out = [np.full(array.shape, np.nan) for _ in range(4)]
        scale, typical = 0.0, typical_size(array)
        for index in indices:
            d = self.element_derivative(array, index, scale, typical)
            if self.bar is not None:
                self.bar.update()
            scale = max(scale, abs(d.value)) if np.isfinite(d.value) else scale
            for part, value in zip(out, (d.value, d.uncertainty, d.low, d.high), strict=True):
                part[index] = value
        return tuple(out)

    def element_derivative(
        self, array: Any, index: tuple, scale: float, typical: float = 1.0, step_factor: float = 1.0
    ) -> Derivative:
        """Return the derivative of f with respect to one element. See `differentiate` for the other arguments."""
        if min(array.dtype.itemsize, 8) == self.itemsize:
            return differentiate(self.f, array, index, self.centre, self.magnitude, scale, typical, step_factor)
        # The array is float64, but forward computes in float32. So use the steps of float32.
        move = self.element_mover(array, index)
        return estimate(move, self.centre, self.magnitude, step_factor, self.itemsize, scale)

    def element_mover(self, array: Any, index: tuple) -> Callable[[float], tuple[float, float]]:
        """Return a function that adds a number h to one element of `array`, computes f, and restores the element.

        The function returns f, and the change of the element, which is h after rounding.
        """
        value = array[index].copy()

        def evaluate_at(h: float) -> tuple[float, float]:
            array[index] = value + h
            step = float(array[index]) - float(value)
            try:
                return self.f(), step
            finally:
                array[index] = value

        return evaluate_at

    def directional_derivative(self, array: Any, v: np.ndarray, step_factor: float = 1.0) -> Derivative:
        """Return the derivative of f along the direction `v`, an array with the shape of `array`.

        All steps are multiplied by `step_factor`.
        """
        # If the elements are small, f may bend over a short distance. Small steps show that this bend is not a kink.
        typical = typical_size(array)
        smaller = [step_factor * typical] if typical < 0.01 and self.itemsize == 8 else []
        move = self.direction_mover(array, v)
        return estimate(move, self.centre, self.magnitude, step_factor, self.itemsize, smaller=smaller)

    def direction_mover(self, array: Any, v: np.ndarray) -> Callable[[float], tuple[float, float]]:
        """Return a function that adds ``h * v`` to `array` for a number h, computes f, and restores the array.

        The direction `v` has the shape of `array`. The function returns f and h.
        """
        xp, held = array_module(array), array.copy()
        on_device = xp.asarray(v)

        def evaluate_at(h: float) -> tuple[float, float]:
            xp.multiply(on_device, h, out=array)
            array[...] += held
            try:
                return self.f(), h
            finally:
                array[...] = held

        return evaluate_at

    def refine_with_complex_step(self, name: str, indices: list[tuple], numeric: Any, *rest: Any) -> None:
        """Replace the finite differences by derivatives from the complex step.

        Keep the finite differences if the code does not accept complex numbers, or if the two methods disagree.

        Parameters
        ----------
        name : str
            The name of the array.
        indices : list of tuple
        numeric, *rest : ndarray
            The four arrays that `element_derivatives` returns. This method changes them in place.
        """
        uncertainty, low, high = rest
        smooth = [p for p in indices if low[p] == high[p] and np.isfinite(numeric[p])]
        if not smooth or self.complex_step_failed or self.itemsize < 8:
            return
        found = complex_derivatives(self.projection, name, smooth)
        self.complex_step_failed = found is None
        if found is None:
            return
        self.evaluations += len(smooth)
        at = tuple(np.array(smooth).T) if numeric.ndim else ()
        found = found if numeric.ndim else found[0]
        known = uncertainty[at] <= 1e-3 * np.maximum(np.abs(found), np.abs(numeric[at]).max()) + 1e-12
        close = np.abs(found - numeric[at]) <= 10 * uncertainty[at] + 1e-9 * np.abs(found)
        if np.any(known & ~close):  # an operation of forward probably drops the imaginary part
            self.complex_step_failed = True
            return
        for part in (numeric, low, high):
            part[at] = np.where(known, found, part[at])
        rounding = 4e-16 * np.maximum(np.abs(found), np.abs(found).max()) + 4e-17 * self.magnitude
        uncertainty[at] = np.where(known, rounding, uncertainty[at])
        self.complex_step_used = True
