"""Decide if a gradient is allowed at a point where several units have a kink.

A kink is a point at which a function has no derivative, such as zero for ReLU. A unit is one element of the result of
such a function. At a kink of one unit, backward may use any slope between the two one-sided slopes. If several units
have a kink at the same point, backward may use a different slope for each unit.

Let g_start be the gradient at a nearby point, where no unit lies on a kink. Let J_u be the jump of the gradient if only
unit u moves from one side of its kink to the other. Then an allowed gradient is

    g = g_start + sum over the units u of theta_u J_u,    0 <= theta_u <= 1

The number theta_u gives the slope of unit u: 0 and 1 are the two one-sided slopes. The same numbers must explain the
gradients of all arrays. They must also explain them for several values of dy, which is the gradient with respect to the
outputs. To find the jumps, this file runs backward at nearby points:

1  If an element of the gradient has only two different values at these points, it depends on one unit. At the kink, the
   element must lie between the two values.
2  For the other elements, choose a short line segment near the point. The segment crosses the kinks one after the
   other, and bisection finds the crossings. The formula above is used only if it also explains the gradients at the
   other nearby points. It does not explain them if the kinks depend on each other, for example in two layers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .nested import array_module, has_no_axes, is_array, leaves, map_leaves
from .numerical import typical_size
from .projection import Projection, random_weights_like

POINTS = 16  # the number of nearby points
NEARBY = 1e-7  # the distance of the nearby points, relative to an array's typical value
OFFSET = 3e-3  # the distance of the segment from the point, relative to the segment's length
RESOLUTION = 3e-6  # two crossings on the segment count as one if their distance is smaller than this number
MAX_UNITS = 64
MAX_STEPS = 3000  # the largest number of steps in the search for the nearest allowed gradient
MAX_ELEMENTS = 20_000  # the largest number of elements of the gradients that are compared at each point
SAME = 1e-4  # two gradients count as equal up to this difference, divided by the array's largest gradient


class KinkUnits:
    """The gradients that a right backward may return for the current values of the arrays, if units lie on kinks.

    Parameters
    ----------
    projection : Projection
    gradients : dict of str to ndarray
        The gradients from backward at the current point, for the arrays whose gradient is right at points without a
        kink.
    first : dict of str to list of tuple
        For each array, the elements that seem to lie on kinks. The search always compares these elements.
    rng : numpy.random.Generator
    limit : int
        The largest number of backward passes in the search for crossings.

    Attributes
    ----------
    resolved : bool
        True if the jumps of all kinks are known. Then `allowed` and `wrong` are valid.
    allowed : dict of str to ndarray
        For each array, the allowed gradient that is nearest to the gradient from backward. It is NaN at elements that
        were not compared.
    nearby : dict of str to ndarray
        For each array, the gradients from backward at the nearby points.
    wrong : dict of str to list of tuple
        For each array, the elements whose gradient is not allowed.
    """

    def __init__(
        self,
        projection: Projection,
        gradients: dict[str, np.ndarray],
        first: dict[str, list[tuple]],
        rng: np.random.Generator,
        limit: int,
    ):
        self._limit = limit
        self.projection, self.rng, self.names = projection, rng, list(gradients)
        self.runs, self.resolved = 0, False
        self.allowed = {name: np.full(g.shape, np.nan) for name, g in gradients.items()}
        self.nearby = {name: np.full((POINTS, *g.shape), np.nan) for name, g in gradients.items()}
        self.wrong: dict[str, list[tuple]] = {name: [] for name in gradients}
        self._choose_elements(gradients, first)
        self._held = {name: v.copy() for name, v in projection.variables.items()}
        self._reach = {name: NEARBY * typical_size(v) for name, v in self._held.items()}
        self._weights = [projection.weights]
        if not all(w is None or has_no_axes(w) for _, w in leaves("", projection.weights)):
            self._weights += [map_leaves(self._draw, projection.outputs) for _ in range(2)]
        try:
            self._resolve()
        finally:
            for name, v in projection.variables.items():
                v[...] = self._held[name]

    def _draw(self, y: Any) -> Any:
        return random_weights_like(y, self.rng) if is_array(y) and y.ndim else (1.0 if isinstance(y, float) else None)

    def _choose_elements(self, gradients: dict[str, np.ndarray], first: dict[str, list[tuple]]) -> None:
        """Choose the elements to compare in each array, as indices of the flattened array."""
        self._elements, left = {}, MAX_ELEMENTS
        for name, g in gradients.items():
            needed = [int(np.ravel_multi_index(index, g.shape)) if g.ndim else 0 for index in first.get(name, [])]
            rest = np.setdiff1d(np.arange(g.size), needed)
            fill = max(0, left // len(gradients) - len(needed))
            chosen = [*needed, *self.rng.permutation(rest)[:fill]]
            self._elements[name] = np.array(chosen, dtype=int)

    # --- backward at nearby points -----------------------------------------------------------------------------------

    def _gradient(self, offset: dict[str, np.ndarray] | None = None, dys: slice = slice(None)) -> np.ndarray:
        """Return backward's gradients if `offset` is added to the arrays: one row for each dy that `dys` selects."""
        for name, v in self.projection.variables.items():
            v[...] = self._held[name]
            if offset is not None:
                v += array_module(v).asarray(offset[name])
        rows = []
        for weights in self._weights[dys]:
            self.runs += 1
            given = zip(self.names, self.projection.gradients_of(self.names, weights), strict=True)
            rows.append(np.concatenate([g.ravel()[self._elements[name]] for name, g in given]))
        return np.array(rows)

    def _offset(self) -> dict[str, np.ndarray]:
        return {name: reach * self.rng.uniform(-1, 1, self._held[name].shape) for name, reach in self._reach.items()}

    def _resolve(self) -> None:
        here = self._gradient()
        points = np.array([self._gradient(self._offset()) for _ in range(POINTS)])  # shape (points, dys, elements)
        for name, part in self._parts():
            self.nearby[name].reshape(POINTS, -1)[:, self._elements[name]] = points[:, 0, part]
        everything = np.concatenate([points, here[None]])
        if not np.isfinite(everything).all():
            return
        scale = self._scale(everything)
        low, high = points.min(axis=0), points.max(axis=0)
        jumps = (high - low > SAME * scale).any(axis=0)
        if (np.minimum(points - low, high - points) <= SAME * scale).all():  # each element takes two values at most
            nearest = points.mean(axis=0)
            nearest[:, jumps] = self._nearest_on_segment(points[:, :, jumps], here[:, jumps])
            if (np.abs(here - nearest) > SAME * scale)[:, ~jumps].any():
                return  # for some kink, all nearby points lie on the same side, so its jump is not known
        else:
            nearest = self._nearest_of_units(points, here, scale)
            if nearest is None:
                return
        self._conclude(here, nearest, scale)

    def _scale(self, rows: np.ndarray) -> np.ndarray:
        """Return, for each dy and each element, the largest absolute gradient in the array of this element.

        If all gradients in this array are zero, return 1 instead.
        """
        scale = np.empty(rows.shape[1:])
        for _, part in self._parts():
            largest = np.abs(rows[:, :, part]).max(axis=(0, 2), initial=0.0)
            scale[:, part] = np.where(largest > 0, largest, 1.0)[:, None]
        return scale

    def _parts(self) -> Iterator[tuple[str, slice]]:
        """Yield the name of each array, and the slice of its elements in a row of gradients."""
        start = 0
        for name in self.names:
            stop = start + len(self._elements[name])
            yield name, slice(start, stop)
            start = stop

    @staticmethod
    def _nearest_on_segment(points: np.ndarray, here: np.ndarray) -> np.ndarray:
        """Return, for each element of the gradient, the allowed value that is nearest to `here`.

        `here` is the gradient from backward at the kink, and `points` are the gradients at nearby points. At these
        points, each element has only two different values, one on each side of its kink. An allowed value is the first
        value plus theta times the difference of the two values. Theta is from 0 to 1, and is the same for every dy.
        """
        spread = points - points[0]
        other = np.abs(spread).sum(axis=1).argmax(axis=0)  # for each element, a point on the other side of its kink
        jump = np.take_along_axis(spread, other[None, None, :], axis=0)[0]
        theta = ((here - points[0]) * jump).sum(axis=0) / (jump**2).sum(axis=0)
        return points[0] + np.clip(theta, 0, 1) * jump

    def _conclude(self, here: np.ndarray, nearest: np.ndarray, scale: np.ndarray) -> None:
        self.resolved = True
        apart = (np.abs(here - nearest) > 10 * SAME * scale).any(axis=0)
        for name, part in self._parts():
            elements, shape = self._elements[name], self.allowed[name].shape
            self.allowed[name].ravel()[elements] = nearest[0, part]
            bad = elements[apart[part]]
            self.wrong[name] = [tuple(int(i) for i in np.unravel_index(int(e), shape)) for e in bad]

    # --- several units -----------------------------------------------------------------------------------------------

    def _nearest_of_units(self, points: np.ndarray, here: np.ndarray, scale: np.ndarray) -> np.ndarray | None:
        """Return the allowed gradient that is nearest to `here`, the gradient from backward at the kinks.

        The array `points` contains the gradients at nearby points. Return None if the formula at the top of this file
        does not give these gradients.
        """
        for _ in range(2):
            found = self._crossings(scale)
            if found is None:
                return None
            start, jumps = found
            box = Box(np.array([(jump / scale).ravel() for jump in jumps]).T)
            if all(box.contains(((g - start) / scale).ravel(), 10 * SAME) for g in points):
                theta = box.nearest(((here - start) / scale).ravel())
                nearest = start + scale * (box.J @ theta).reshape(scale.shape)
                if (np.abs(nearest - here) <= 10 * SAME * scale).all():
                    return nearest  # the given gradient is allowed
                again = self._crossings(scale)
                if again is None:
                    return None
                # If the kinks do not depend on each other, every segment finds the same jumps. But a segment may miss
                # a kink, or may not separate two kinks, so 80 % of the jumps are enough.
                same = sum(is_among(jump, jumps, SAME * scale) for jump in again[1])
                return nearest if same >= 0.8 * max(len(jumps), len(again[1])) else None
        return None

    def _crossings(self, scale: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]] | None:
        """Choose a line segment near the current point. Return the gradient at its start, and the jumps at its kinks.

        Return None if the segment crosses no kink, or if it crosses too many kinks for the limits of the search.
        """
        along, aside = self._offset(), self._offset()

        def at(t: float, dys: slice = slice(0, 1)) -> np.ndarray:
            return self._gradient({n: t * along[n] + OFFSET * aside[n] for n in along}, dys)

        limit = self.runs + self._limit
        jumps, parts = [], [(-1.0, at(-1.0), 1.0, at(1.0))]
        while parts:
            t0, g0, t1, g1 = parts.pop()
            if (np.abs(g1 - g0) <= SAME * scale[:1]).all():
                continue
            if t1 - t0 < RESOLUTION:
                jumps.append(at(t1, slice(None)) - at(t0, slice(None)))
                continue
            if self.runs > limit or len(jumps) == MAX_UNITS:
                return None
            middle = (t0 + t1) / 2
            g = at(middle)
            parts += [(t0, g0, middle, g), (middle, g, t1, g1)]
        return (at(-1.0, slice(None)), jumps) if jumps else None


class Box:
    """The changes of the gradient that kinks allow: sums of jumps, each multiplied by a number from 0 to 1.

    These numbers are called theta, one for each unit. The changes are the vectors J theta.

    Parameters
    ----------
    J : ndarray, (elements, units)
        Each column is the jump of the gradient at the kink of one unit.
    """

    def __init__(self, J: np.ndarray):
        # If the jumps of some units are equal up to rounding, J is nearly singular. With `rcond`, the pseudoinverse
        # gives these units the same theta.
        self.J, self.gram, self.inverse = J, J.T @ J, np.linalg.pinv(J, rcond=1e-9)
        self.rate = 1 / max(float(np.linalg.eigvalsh(self.gram)[-1]), 1e-300)

    def nearest(self, r: np.ndarray) -> np.ndarray:
        """Return theta, one number from 0 to 1 for each unit, so that J theta is nearest to `r`."""
        theta = self.inverse @ r
        inside = np.clip(theta, 0, 1)
        if (np.abs(theta - inside) <= 1e-6).all():
            return inside
        target, theta, ahead, t = self.J.T @ r, inside, inside, 1.0
        for _ in range(MAX_STEPS):  # the method FISTA: projected gradient descent with momentum
            new = np.clip(ahead - self.rate * (self.gram @ ahead - target), 0, 1)
            t, before = (1 + np.sqrt(1 + 4 * t * t)) / 2, t
            ahead = new + (before - 1) / t * (new - theta)
            done = np.abs(new - theta).max() < 1e-8
            theta = new
            if done:
                break
        return theta

    def contains(self, r: np.ndarray, tolerance: float) -> bool:
        """Return True if an allowed change J theta differs from `r` by at most `tolerance` in every element."""
        if np.abs(self.J @ (self.inverse @ r) - r).max() > tolerance:
            return False  # no theta fits, even without the bounds 0 <= theta <= 1
        return bool(np.abs(self.J @ self.nearest(r) - r).max() <= tolerance)


def is_among(jump: np.ndarray, jumps: list[np.ndarray], tolerance: np.ndarray) -> bool:
    """Return True if one of `jumps` equals `jump` or ``-jump``, up to 10 times `tolerance`."""
    return any((np.abs(sign * jump - other) <= 10 * tolerance).all() for other in jumps for sign in (1, -1))
