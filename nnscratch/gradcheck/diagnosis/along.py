"""Directional mode: what a few slopes tell about a wrong gradient.

The true gradient's elements are not known, only its slopes <true, v> along some directions v. The gradient given is
known whole, and so is what a hypothesis makes of it: their slopes are compared. Three random directions that all agree
speak for every element. Where a hypothesis is about a part of the array, a direction through that part is measured.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import backend
from ..numerical import Derivative
from ..objective import Objective
from ..report import Entry
from .evidence import GOOD, Case


class CaseAlong(Case):
    """One wrong gradient in directional mode: `given` is known whole, of `true` only its slopes.

    Parameters
    ----------
    gradient : ndarray
        What backward said, every element.
    slopes : list of (ndarray, Derivative)
        Directions, and the derivatives along them.
    """

    def __init__(
        self, entry: Entry, objective: Objective, gradient: np.ndarray, slopes: list[tuple[np.ndarray, Derivative]]
    ):
        super().__init__(entry, objective)
        self.gradient = gradient
        self.directions = [v for v, _ in slopes]
        self.slopes = np.array([d.value for _, d in slopes])
        own = self.look(gradient) if gradient.shape == entry.shape else 0 * self.slopes
        self.noise = np.array([3 * d.uncertainty + d.high - d.low for _, d in slopes])  # a kink has no one slope
        self.wrong = np.abs(own - self.slopes)

    elementwise = False

    @property
    def usable(self) -> bool:  # type: ignore[override]
        return bool((self.noise <= 1e-3 * self.wrong).all())

    @property
    def given(self) -> np.ndarray:
        return self.gradient

    @property
    def true(self) -> np.ndarray:
        return np.broadcast_to(np.nan, self.shape)

    @property
    def extent(self) -> str:
        return f"along {len(self.directions)} random directions"

    @property
    def yardstick(self) -> str:
        return f"what is wrong {self.extent}"

    @property
    def near(self) -> Any:
        return GOOD * self.wrong + self.noise if self.usable else 0.0

    def rounding(self) -> float:
        sizes = np.array([np.linalg.norm(self.given * v) for v in self.directions])  # errors add up at random
        return float((self.wrong / np.maximum(sizes, 1e-300)).max())

    def wrong_elements(self) -> int:
        """1 if a single element explains every slope, else not known: all."""
        off = self.look(self.given) - self.slopes
        moves = np.array([np.ravel(v) for v in self.directions])
        lengths = np.linalg.norm(moves, axis=0) * np.linalg.norm(off)
        along = np.abs(off @ moves) / np.maximum(lengths, 1e-300)  # 1 where `off` is a multiple of one element's moves
        return 1 if (along > 1 - 1e-5).any() and moves.shape[1] < 1000 else moves.shape[1]

    def slope(self, v: np.ndarray, h: float = 2e-5) -> float:
        """<true, v>, measured now."""
        array = self.objective.variables[self.name]
        held, v = array.copy(), backend.array_module(array).asarray(v, dtype=array.dtype)
        try:
            f = []
            for step in (h, -h):
                array[...] = held + step * v
                f.append(self.objective())
        finally:
            array[...] = held
        return (f[0] - f[1]) / (2 * h)

    def blocks(self, axis: int, count: int) -> tuple[list[np.ndarray], list[np.ndarray], Any] | None:
        """Measured: slopes along each direction, restricted to each block; what they should add up to is known."""
        if not self.usable:
            return None
        g, t = np.zeros((2, count, len(self.directions)))
        near = np.zeros(len(self.directions))
        for d, v in enumerate(self.directions):
            for k, block in enumerate(np.array_split(np.arange(self.shape[axis]), count)):
                part, at = np.zeros(self.shape), (slice(None),) * axis + (block,)
                part[at] = v[at]
                g[k, d], t[k, d] = np.vdot(self.given, part), self.slope(part)
            near[d] = GOOD * self.wrong[d] + 3 * abs(t[:, d].sum() - self.slopes[d])
            if near[d] > 1e-2 * self.wrong[d] or (np.abs(g[:, d] - t[:, d]) > near[d]).all():
                return None  # none of them is right, or that cannot be told
        return list(g), list(t), near

    def shifted_true(self, axis: int, step: int, inside: tuple) -> bool:
        for v, wrong, noise in zip(self.directions, self.wrong, self.noise, strict=True):
            part = np.zeros(self.shape)
            part[inside] = v[inside]
            if not abs(self.slope(np.roll(part, -step, axis)) - np.vdot(self.given, part)) <= GOOD * wrong + noise:
                return False
        return True

    def look(self, array: np.ndarray) -> np.ndarray:
        return np.array([float(np.vdot(array, v)) for v in self.directions])

    @property
    def seen(self) -> tuple[np.ndarray, np.ndarray]:
        return self.look(self.given), self.slopes

    @property
    def scale(self) -> float:
        return max(float(np.abs(self.slopes).max()), float(self.wrong.max()), 1e-300)

    def test_seen(self, rank: float, numbers: np.ndarray, mistake: str, evidence: str) -> bool:
        misfit = self.off(numbers, self.look(self.given)) if self.same_shape else float("inf")
        if misfit > GOOD:
            return False
        self.add(rank, mistake, f"{evidence}: fits to {misfit:.0e} of {self.yardstick}", "", misfit)
        return True

    def misfit(self, candidate: Any, given: Any = None) -> float:
        if np.shape(candidate) != self.shape or np.shape(self.given) != self.shape:
            return float("inf")
        return self.off(self.look(candidate), self.look(self.given))

    def misfit_of_true(self, turned: Any) -> float:
        return self.off(self.look(turned), self.slopes) if np.shape(turned) == self.shape else float("inf")

    def off(self, slopes: np.ndarray, wanted: np.ndarray) -> float:
        """The largest difference between slopes, relative to what is wrong along that direction."""
        left = np.maximum(np.abs(slopes - wanted) - self.noise, 0) / np.maximum(self.wrong, 1e-300)
        return float(left.max()) if self.usable and np.isfinite(left).all() else float("inf")
