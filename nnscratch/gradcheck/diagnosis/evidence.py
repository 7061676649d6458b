"""What every hypothesis is tested with: the gradient given, the true one, and how well a third one fits.

A hypothesis computes the gradient that its mistake would give. It is believed if that explains the difference: what is
left is under a ten-thousandth of the gradient, while the true gradient leaves much more.

In directional mode the true gradient's elements are not known, only its slopes <true, v> along some directions v. The
gradient given is known whole, and so is what a hypothesis makes of it: their slopes are compared. Three random
directions that all agree speak for every element.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ... import backend
from ..numerical import Derivative
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

    elementwise = False

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

    @property
    def near(self) -> Any:
        return GOOD * self.wrong + self.noise if self.usable else 0.0

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

    @property
    def usable(self) -> bool:  # type: ignore[override]
        return bool((self.noise <= 1e-3 * self.wrong).all())

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
