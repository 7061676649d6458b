"""Test a hypothesis: compare backward's gradient with the gradient of a changed forward.

A hypothesis is a mistake that backward may contain. To test a hypothesis, the tester changes forward: the outputs stay
the same, but some operations have a wrong derivative. The gradient of the changed forward is the gradient that a
backward with this mistake returns.

Let `given` be the gradient that backward returned, and let f be the weighted sum of the outputs (projection.py). For a
random direction v, the tester compares two numbers:

    <given, v>                        the derivative along v according to backward
    (f(x + h v) - f(x - h v)) / 2h    the derivative of the changed forward along v

Here <given, v> is the sum of the products of the elements of given and v. If the hypothesis is right, the two numbers
are equal. So two forward passes test a hypothesis about all arrays together, even if the arrays are large.

The error of backward along v is the difference between <given, v> and the derivative of the unchanged forward. The
tester compares the two numbers along three random directions. It accepts a hypothesis if, along each direction, they
differ by at most 1e-4 times this error, plus the noise of the finite differences. If the error of backward is tiny, the
noise of the changed forward may be larger than this limit. So the tester draws several directions, and uses the
direction with the largest error of backward.

In directional mode, the tester uses the directions that the check has measured. If a direction moves several arrays,
the true derivative is a sum with one term for each array.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..numerical import random_direction
from ..tape import Tape, change_path
from .case import Case
from .directional_case import DirectionalCase

# Two derivatives along a direction count as equal if they differ by less than this fraction of backward's error.
MAX_SLOPE_MISFIT = 1e-4
DRAWS = 5  # the number of random directions that are drawn; the direction with the largest error of backward is used
# The limit for the cost of all runs together. The cost of a run is the number of elements that its operations read and
# write, plus 200 for each operation.
BUDGET = 80_000_000


@dataclass
class Hypothesis:
    """A mistake that backward may contain, and the changes of forward that have the same effect on the gradient.

    For example, backward leaves out the gradient of an operand. Then the changed forward keeps this operand constant.

    Attributes
    ----------
    rank : float
        A specific mistake has a smaller rank than a general mistake.
    mistake, evidence, place : str
        As in a Diagnosis.
    changes : dict of int to function
        The functions that replace operations in the changed forward: see `Tape.changes`. The key is the
        number of the operation.
    only : str or None
        The name of the array, if the mistake changes the gradient of only one array. None if it may change all
        gradients.
    weights : tuple or None
        Weights of the outputs that replace R (projection.py), or None to use R.
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
    """A direction `v` that moves one or more differentiated arrays, and the derivatives of f along `v`.

    f is the weighted sum of the outputs.

    Attributes
    ----------
    v : dict of str to ndarray
        The values that are added to each array that moves. The key is the name of the array.
    given : float
        The derivative along `v` according to the gradient from backward.
    true : float
        The derivative from finite differences.
    noise, curvature : float
        The estimated errors of a central difference and of a one-sided difference of f along `v`.
    """

    v: dict[str, np.ndarray]
    given: float
    true: float
    noise: float = 0.0
    curvature: float = np.inf

    @property
    def error(self) -> float:
        return abs(self.given - self.true)

    def matches(self, slope: float) -> bool:
        """Return True if the derivative `slope` equals `given`, the derivative according to backward."""
        return abs(slope - self.given) <= MAX_SLOPE_MISFIT * self.error + self.noise

    def may_match(self, one_sided: float) -> bool:
        """Return False if `one_sided`, a one-sided difference of a changed forward, shows that the hypothesis is wrong.

        This test saves time: a one-sided difference needs one forward pass, and a central difference needs two.
        """
        return not abs(one_sided - self.given) > 0.1 * self.error + 10 * self.curvature


def clearest(directions: Iterable[Direction]) -> Direction:
    """Return the direction with the largest error of backward."""
    return max(directions, key=lambda d: d.error)


class HypothesisTester:
    """Test hypotheses along random directions. Some directions move all arrays together, and others move one array.

    An array is left out if the gradient that backward returned for it has a wrong shape.

    Parameters
    ----------
    tape : Tape
    cases : dict of str to Case
        The arrays with a wrong gradient.
    right : dict of str to (ndarray, ndarray)
        For each array with a right gradient, the gradient from backward and the true gradient. Unknown elements of the
        true gradient are NaN.

    Attributes
    ----------
    wrong : list of str
        The names of the wrong arrays that can be tested.
    elements : dict of str to int
        For each wrong array, the number of elements that a hypothesis must explain.
    usable : bool
        True if finite differences of the recorded forward, without changes, give the true derivatives.
    """

    def __init__(self, tape: Tape, cases: dict[str, Case], right: dict[str, tuple[np.ndarray, np.ndarray]]):
        self.tape, self.right = tape, right
        self.movements: Any = None  # see movements.py; None until the movements are measured
        self.cases = {name: case for name, case in cases.items() if case.same_shape and case.usable}
        self.wrong = list(self.cases)
        self.few = any(case.few for case in cases.values())
        self.rng = np.random.default_rng(7)
        self.fixed: dict[int, Callable] = {}
        self.alone = {name: [self._direction_of(case, k) for k in range(3)] for name, case in self.cases.items()}
        self.joint = [clearest(self._joint_direction(k, right) for _ in range(DRAWS)) for k in range(3)]
        self.elements = {name: case.wrong_elements() for name, case in self.cases.items()}
        self.usable = bool(self.wrong) and self._choose_step()
        self._first_run = tape.runs

    def _direction_of(self, case: Case, k: int) -> Direction:
        if isinstance(case, DirectionalCase):
            given, true = case.observed
            return Direction({case.name: case.directions[k]}, given[k], true[k])
        true = np.where(case.smooth, case.true, np.nan)
        return clearest(self._random_direction(case.name, case.given, true) for _ in range(DRAWS))

    def _random_direction(self, name: str, given: np.ndarray, true: np.ndarray) -> Direction:
        """Return a random direction that moves one array, but only the elements whose true gradient is known."""
        v = np.where(np.isfinite(true), random_direction(given.shape, self.rng), 0.0)
        return Direction({name: v}, float((given * v).sum()), float((np.nan_to_num(true) * v).sum()))

    def _joint_direction(self, k: int, right: dict[str, tuple[np.ndarray, np.ndarray]]) -> Direction:
        """Return a direction that moves all arrays: the wrong arrays, and the arrays in `right`."""
        parts = [self._direction_of(case, k) for case in self.cases.values()]
        parts += [self._random_direction(name, *pair) for name, pair in right.items()]
        v = {name: values for part in parts for name, values in part.v.items()}
        return Direction(v, sum(part.given for part in parts), sum(part.true for part in parts))

    def _choose_step(self) -> bool:
        """Find a step h at which finite differences of the unchanged forward give the true derivatives.

        Measure the noise of these differences too. Return False if no step gives derivatives that are accurate enough.
        """
        every = [*self.joint, *(d for ds in self.alone.values() for d in ds)]
        self.centre = self.tape.value()
        for h in (1e-4, 1e-5, 1e-6):
            self.h = h
            for d in every:
                d.curvature = abs(self.slope({}, d) - self.one_sided({}, d))
                d.noise = 3 * abs(self.slope({}, d) - d.true)
            if all(d.noise <= 1e-3 * d.error for d in every):
                self._fix_maxima()
                return True
        return False

    def _fix_maxima(self) -> None:
        """Keep a maximum constant if the output does not depend on it, such as the maximum that softmax subtracts.

        Softmax is exp(x - m) / sum(exp(x - m)) with the maximum m of x. The derivatives with respect to the two m
        cancel, and a usual backward leaves out both. If the maximum changed, a hypothesis that leaves out only one
        of the two derivatives would give a wrong gradient.
        """
        for node in self.tape.nodes:
            if node.name == "maximum.reduce":
                cut = {node.number: change_path(0, lambda d: 0 * d)}
                if all(abs(self.slope(cut, d) - d.true) <= d.noise + 1e-9 * abs(d.true) for d in self.joint):
                    self.fixed |= cut

    def slope(self, changes: dict[int, Callable], direction: Direction, weights: tuple | None = None) -> float:
        """Return the derivative of the weighted sum of the outputs along `direction`, with `changes` made in forward.

        Return NaN if the changed forward raises an error.
        """
        above, below = (self.value_after(changes, direction, weights, h) for h in (self.h, -self.h))
        return (above - below) / (2 * self.h)

    def one_sided(self, changes: dict[int, Callable], direction: Direction) -> float:
        """Return the one-sided difference (f(x + h v) - f(x)) / h along `direction`, with `changes` made in forward."""
        return (self.value_after(changes, direction, None, self.h) - self.centre) / self.h

    def fits(self, h: Hypothesis, direction: Direction) -> bool:
        """Return True if the hypothesis `h` predicts the derivative along `direction` that backward gives."""
        above = self.value_after(h.changes, direction, h.weights, self.h)
        if h.changes and h.weights is None and not direction.may_match((above - self.centre) / self.h):
            return False
        return direction.matches((above - self.value_after(h.changes, direction, h.weights, -self.h)) / (2 * self.h))

    def value_after(self, changes: dict[int, Callable], direction: Direction, weights: tuple | None, h: float) -> float:
        """Move arrays by `h` along `direction`, make `changes` in forward, and return the weighted sum of the outputs.

        Return NaN if forward raises an error.
        """
        variables = self.tape.projection.variables
        held = {name: variables[name].copy() for name in direction.v}
        self.tape.changes = {**self.fixed, **changes}
        self.tape.weights = self.tape.projection.weights if weights is None else weights
        try:
            for name, v in direction.v.items():
                variables[name][...] = held[name] + h * v
            with np.errstate(all="ignore"):
                return self.tape.value()
        except Exception:  # the checked code may raise any error for the changed values
            return float("nan")
        finally:
            self.tape.changes, self.tape.weights = {}, self.tape.projection.weights
            for name, v in held.items():
                variables[name][...] = v

    def gradient(self, changes: dict[int, Callable], name: str) -> np.ndarray | None:
        """Return the gradient of f with respect to the array `name`, with `changes` made in forward.

        f is the weighted sum of the outputs. Return None if the changed forward raises an error.
        """
        shape = self.tape.projection.variables[name].shape
        found = np.zeros(shape)
        for index in np.ndindex(shape):
            unit = np.zeros(shape)
            unit[index] = 1
            found[index] = self.slope(changes, Direction({name: unit}, 0, 0))
        return found if np.isfinite(found).all() else None

    @property
    def budget_spent(self) -> bool:
        """True if the forward passes of this tester have read and written more than `BUDGET` elements."""
        return (self.tape.runs - self._first_run) * self.tape.cost > BUDGET

    def explained_arrays(self, h: Hypothesis) -> list[str]:
        """Return the names of the wrong arrays whose gradients the hypothesis `h` explains.

        Return [] if the hypothesis predicts a wrong gradient for an array whose gradient from backward is right.
        """
        if h.only is not None:
            if h.only not in self.wrong or self.elements[h.only] < (1 if self.few else 2):
                return []
            return [h.only] if all(self.fits(h, d) for d in self.alone[h.only]) else []
        if sum(self.elements.values()) < (1 if self.few else 2) or not all(self.fits(h, d) for d in self.joint):
            return []
        return [name for name in self.wrong if self.fits(h, clearest(self.alone[name]))]

    def explains_alone(self, h: Hypothesis, name: str) -> bool:
        """Return True if the hypothesis `h` explains the gradient of the array `name`. Do not test the other arrays."""
        if self.elements[name] < (1 if self.few else 3):
            return False
        return all(self.fits(h, d) for d in self.alone[name])

    def path_factor(self, cut: dict[int, Callable], only: str | None) -> float | None:
        """Return the factor c by which backward multiplies the gradient of one operand, or None if no factor fits.

        For example, c is 2 if backward adds the gradient twice. `cut` contains the changes of forward that make this
        gradient zero, and `only` is as in `Hypothesis`.

        Let f be the weighted sum of the outputs. With the factor c, the derivative of f is s(c) = s(0) + c (s(1) -
        s(0)). Here s(0) is the derivative of the forward with the changes `cut`, and s(1) is the true derivative. Each
        direction gives a value of c, and all values must agree. The formula is right if a gradient passes at most one
        of the changed operations on its way from f to an array.
        """
        directions = self.joint if only is None else self.alone.get(only, [])
        if not directions or sum(self.elements[n] for n in (self.wrong if only is None else [only])) < (
            1 if self.few else 3
        ):
            return None
        c = None
        for d in directions:
            cut_slope = self.slope(cut, d)
            contribution = d.true - cut_slope
            if not np.isfinite(contribution):
                return None
            if abs(contribution) <= 100 * d.noise or abs(contribution) < 1e-3 * d.error:
                return None  # the derivative through the operand is too small
            if c is None:
                c = (d.given - cut_slope) / contribution
                if abs(c) < 1e-3:
                    return None  # c = 0: backward leaves out the gradient, and missing_paths.py tests this mistake
            elif abs(cut_slope + c * contribution - d.given) > MAX_SLOPE_MISFIT * d.error + 3 * d.noise * (1 + abs(c)):
                return None
        return c


def search_failed(name: str, error: Exception) -> str:
    """Return the note for a search that raised an error."""
    return f"the search {name} of the diagnosis failed ({type(error).__name__}: {error}); the verdict is not affected"
