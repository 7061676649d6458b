"""Is the gradient given that of a forward changed here or there? Asked along random directions.

Along a direction v the gradient given says <given, v>, and a changed forward has the slope (f(h v) - f(-h v)) / 2h:
two forward passes for a hypothesis about every array at once, however large. A hypothesis that meets three random
directions to a ten-thousandth of what is wrong is no accident.

In directional mode these slopes are all that is known, and all that is needed: the directions are those measured, and
along one that moves several arrays the true slope is the sum of theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..numerical import random_direction
from ..tape import Tape, gain
from .along import CaseAlong
from .evidence import Case

CLOSE = 1e-4  # of what is wrong
BUDGET = 150_000_000  # numbers read and written in forwards done again; an operation counts as 200 at least


@dataclass
class Hypothesis:
    """A changed forward, and what the mistake is called if its gradient is the one given.

    Attributes
    ----------
    rank : float
        Smaller is more specific.
    only : str or None
        The change reaches the gradient of this array and no other.
    weights : tuple or None
        What the outputs are multiplied by instead of R.
    """

    rank: float
    mistake: str
    evidence: str
    place: str
    changes: dict[int, Callable] = field(default_factory=dict)
    only: str | None = None
    weights: tuple | None = None


@dataclass
class Direction:
    """A direction, what is said of it, and what is true."""

    v: dict[str, np.ndarray]
    given: float
    true: float
    noise: float = 0.0

    @property
    def wrong(self) -> float:
        return abs(self.given - self.true)

    def met_by(self, slope: float) -> bool:
        return abs(slope - self.given) <= CLOSE * self.wrong + self.noise


class Slopes:
    """Directions in the space of all arrays whose gradient has the right shape.

    Parameters
    ----------
    tape : Tape
    cases : dict of str to Case
        The wrong arrays.
    right : dict of str to (ndarray, ndarray)
        Of the others, the gradient given and the true one; NaN where the true one is not known.
    """

    def __init__(self, tape: Tape, cases: dict[str, Case], right: dict[str, tuple[np.ndarray, np.ndarray]]):
        self.tape, self.h = tape, 1e-4
        self.cases = {name: case for name, case in cases.items() if case.same_shape and case.usable}
        self.wrong = list(self.cases)
        self.rng = np.random.default_rng(7)
        self.fixed: dict[int, Callable] = {}
        self.alone = {name: [self._direction_of(case, k) for k in range(3)] for name, case in self.cases.items()}
        self.joint = [self._joint(k, right) for k in range(3)]
        self.elements = {name: case.wrong_elements() for name, case in self.cases.items()}
        self.usable = bool(self.wrong) and self._settle()
        self.begun = tape.runs

    def _direction_of(self, case: Case, k: int) -> Direction:
        if isinstance(case, CaseAlong):
            given, true = case.seen
            return Direction({case.name: case.directions[k]}, given[k], true[k])
        return self._random(case.name, case.given, np.where(case.smooth, case.true, np.nan))

    def _random(self, name: str, given: np.ndarray, true: np.ndarray) -> Direction:
        """Through the elements that are known."""
        v = np.where(np.isfinite(true), random_direction(given.shape, self.rng), 0.0)
        return Direction({name: v}, float((given * v).sum()), float((np.nan_to_num(true) * v).sum()))

    def _joint(self, k: int, right: dict[str, tuple[np.ndarray, np.ndarray]]) -> Direction:
        parts = [self._direction_of(case, k) for case in self.cases.values()]
        parts += [self._random(name, *pair) for name, pair in right.items()]
        v = {name: values for part in parts for name, values in part.v.items()}
        return Direction(v, sum(part.given for part in parts), sum(part.true for part in parts))

    def _settle(self) -> bool:
        """Find the step with which the unchanged forward has its true slopes; measure what noise is left."""
        every = [*self.joint, *(d for ds in self.alone.values() for d in ds)]
        for h in (1e-4, 1e-5, 1e-6):
            self.h = h
            for d in every:
                d.noise = 3 * abs(self.slope({}, d) - d.true)
            if all(d.noise <= 1e-3 * d.wrong for d in every):
                self._fix_maxima()
                return True
        return False

    def _fix_maxima(self) -> None:
        """A maximum taken off for the sake of large numbers (softmax's) moves nothing: from now on it stays fixed.

        Backward never has its share, and a path cut beside it would bring that share to light.
        """
        for node in self.tape.nodes:
            if node.name == "maximum.reduce":
                cut = {node.number: gain(0, lambda d: 0 * d)}
                if all(abs(self.slope(cut, d) - d.true) <= d.noise + 1e-9 * abs(d.true) for d in self.joint):
                    self.fixed |= cut

    def slope(self, changes: dict[int, Callable], direction: Direction, weights: tuple | None = None) -> float:
        """The slope of the changed forward; NaN where it cannot be run."""
        variables = self.tape.objective.variables
        held = {name: variables[name].copy() for name in direction.v}
        self.tape.changes = {**self.fixed, **changes}
        self.tape.weights = self.tape.objective.weights if weights is None else weights
        try:
            f = []
            for h in (self.h, -self.h):
                for name, v in direction.v.items():
                    variables[name][...] = held[name] + h * v
                with np.errstate(all="ignore"):
                    f.append(self.tape.value())
        except Exception:  # whatever the target's code raises where no forward has been: this cannot be asked
            return float("nan")
        finally:
            self.tape.changes, self.tape.weights = {}, self.tape.objective.weights
            for name, v in held.items():
                variables[name][...] = v
        return (f[0] - f[1]) / (2 * self.h)

    def gradient(self, changes: dict[int, Callable], name: str) -> np.ndarray | None:
        """The changed forward's gradient of one array, element by element; None where it cannot be run."""
        shape = self.tape.objective.variables[name].shape
        found = np.zeros(shape)
        for place in np.ndindex(shape):
            unit = np.zeros(shape)
            unit[place] = 1
            found[place] = self.slope(changes, Direction({name: unit}, 0, 0))
        return found if np.isfinite(found).all() else None

    @property
    def spent(self) -> bool:
        return (self.tape.runs - self.begun) * self.tape.cost > BUDGET

    def explained(self, h: Hypothesis) -> list[str]:
        """The wrong arrays whose gradient this is; none unless all arrays agree."""
        if h.only is not None:
            if h.only not in self.wrong or self.elements[h.only] < 2:
                return []
            return [h.only] if all(d.met_by(self.slope(h.changes, d, h.weights)) for d in self.alone[h.only]) else []
        if sum(self.elements.values()) < 2 or not all(
            d.met_by(self.slope(h.changes, d, h.weights)) for d in self.joint
        ):
            return []
        return [n for n in self.wrong if self.alone[n][0].met_by(self.slope(h.changes, self.alone[n][0], h.weights))]

    def explains_alone(self, h: Hypothesis, name: str) -> bool:
        """Is this the gradient given for one array, whatever it says of the others?"""
        if self.elements[name] < 3:
            return False
        return all(d.met_by(self.slope(h.changes, d, h.weights)) for d in self.alone[name])

    def factor(self, cut: dict[int, Callable], only: str | None) -> float | None:
        """c, where the gradient given is that of a forward in which the path that `cut` cuts counts c times.

        The slope is s(c) = s(0) + c (s(1) - s(0)), and s(1) is the true one: each direction gives a c, and all must
        give the same. Holds for paths that meet no second time.
        """
        directions = self.joint if only is None else self.alone.get(only, [])
        if not directions or sum(self.elements[n] for n in (self.wrong if only is None else [only])) < 3:
            return None
        c = None
        for d in directions:
            cut_slope = self.slope(cut, d)
            share = d.true - cut_slope
            if not np.isfinite(share) or abs(share) <= 100 * d.noise or abs(share) < 1e-3 * d.wrong:
                return None
            if c is None:
                c = (d.given - cut_slope) / share
                if abs(c) < 1e-3:
                    return None  # cut altogether: a hypothesis of its own
            elif abs(cut_slope + c * share - d.given) > CLOSE * d.wrong + 3 * d.noise * (1 + abs(c)):
                return None
        return c


def key(array: Any) -> tuple:
    """Equal for arrays with the same numbers."""
    a = np.ascontiguousarray(array)
    return a.shape, hash(a.tobytes())
