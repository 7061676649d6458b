"""Units that are exactly zero: measure the slope that backward uses at the kink of each unit.

In this file, a unit is an element that is exactly zero in the result of a sum or matrix product, such as z = x W. If a
ReLU follows, z lies on its kink: the point at which ReLU has no derivative. Backward may use any slope between the two
one-sided slopes, which are 0 and 1 for ReLU.

A change of the inputs or weights moves several units together, so it does not show the slope of a single unit.
Therefore this file runs forward on arrays that report their operations (tape/traced_projection.py), and changes the
units inside forward. It chooses one unit u, and sets every other unit to a small positive or negative value. Then it
measures three gradients from backward:

    g_zero     with u at zero
    g_plus     with u at a small positive value
    g_minus    with u at a small negative value

In a right backward, g_zero = g_minus + theta (g_plus - g_minus) for a number theta from 0 to 1. The same theta must fit
every element of the gradients. It must also fit every dy, where dy is the gradient with respect to the outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .nested import has_no_axes, leaves, map_leaves
from .projection import Projection
from .tape import traced

SUMS = {"add", "subtract", "matmul", "dot", "einsum", "tensordot", "inner", "add.reduce", "vecmat", "matvec"}
SMALL = 1e-12  # the size of the positive and negative values to which a unit is set
UNITS = 4  # measure this number of units in each operation, because usually all units of a layer have the same slope
TRIES = 4  # measure a unit with up to 4 random values of the other units, because these units may hide its jump
MAX_OPERATIONS = 12
SAME = 1e-3  # two gradients count as equal up to this difference, divided by the jump g_plus - g_minus
NOTHING = 1e-7  # the smallest jump that counts as a kink, divided by the largest element of the array's gradient


@dataclass
class WrongSlope:
    """A unit, such as a ReLU at zero, at which backward uses a slope that is not allowed.

    Attributes
    ----------
    name : str
        The array whose gradient shows the wrong slope.
    index : tuple of int
        The element of that array with the largest error.
    given, allowed : float
        The gradient of that element, and the nearest allowed gradient, measured while no other unit lies on a kink.
    """

    name: str
    index: tuple[int, ...]
    given: float
    allowed: float


@dataclass
class SlopesAtZero:
    """The slopes that backward uses at units that are zero.

    Attributes
    ----------
    wrong : list of WrongSlope
        The slopes that are not allowed, the worst first.
    moving : dict of str to ndarray
        For each array, True at the elements whose gradient depends on a unit that is zero.
    """

    wrong: list[WrongSlope] = field(default_factory=list)
    moving: dict[str, np.ndarray] = field(default_factory=dict)


class UnitsMoved:
    """Compute the operations of forward, and replace the zeros in the results of sums and matrix products.

    Attributes
    ----------
    zeros : list of (ndarray or None)
        For each operation of the first forward, a mask that is True where its result is zero. None if the operation has
        no units.
    values : dict of int to ndarray
        The values that replace the zeros of an operation. The key is the number of the operation. Other operations keep
        their zeros.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.zeros: list[np.ndarray | None] = []
        self.values: dict[int, np.ndarray] = {}
        self.recording, self.number = True, 0

    def operation(self, name: str, compute: Callable, operands: list[Any], kwargs: dict) -> Any:
        """Compute one operation. `TracedArray` calls this method."""
        result = compute(*operands)
        if getattr(result, "dtype", np.dtype(int)).kind != "f":
            return result
        if self.recording:
            zeros = np.asarray(result == 0) if name in SUMS else None
            self.names.append(name)
            self.zeros.append(zeros if zeros is not None and zeros.any() else None)
            return result
        if self.number >= len(self.names) or self.names[self.number] != name:
            raise ValueError("forward did not run the same operations as the first time")
        values = self.values.get(self.number)
        if values is not None:
            result = np.array(result)
            result[self.zeros[self.number]] = values
        self.number += 1
        return result


def slopes_at_zero(projection: Projection, names: list[str], rng: np.random.Generator) -> SlopesAtZero | None:
    """Measure the slopes that backward uses at units that are exactly zero.

    Parameters
    ----------
    projection : Projection
    names : list of str
        The arrays whose gradients are compared.
    rng : numpy.random.Generator

    Returns
    -------
    SlopesAtZero, or None
        None if there are no units, or if forward cannot be traced.
    """
    if projection.replayed == "state":
        return None
    watcher = UnitsMoved()
    try:
        with traced(projection, watcher, backward=False) as inner:
            return Measurement(inner, watcher, names, rng).slopes()
    except Exception:  # forward cannot be traced
        return None


class Measurement:
    """The measurement of the slopes at all units that are zero: see `slopes_at_zero`."""

    def __init__(self, projection: Projection, watcher: UnitsMoved, names: list[str], rng: np.random.Generator):
        self.projection, self.watcher, self.rng = projection, watcher, rng
        watcher.names, watcher.zeros = [], []  # drop the operations recorded while `projection` was built
        self.names = names
        self.before = self._gradients()
        watcher.recording = False
        self.operations = [k for k, zeros in enumerate(watcher.zeros) if zeros is not None][:MAX_OPERATIONS]
        sizes = [np.abs(g).max(initial=0.0) for g in self.before]
        for _ in range(TRIES):  # if all gradients are zero here, take their sizes from a point nearby
            if any(sizes):
                break
            watcher.values = {k: self._draw(k) for k in self.operations}
            sizes = [np.abs(g).max(initial=0.0) for g in self._gradients()]
        self.scale = [max(size, 1e-3 * max(sizes)) or 1.0 for size in sizes]

    def _gradients(self) -> list[np.ndarray]:
        """Run backward with dy = R and with dy = -R, where R are the weights of the outputs.

        Return the gradient of each array: one row for dy = R, and one row for dy = -R. If the outputs are single
        numbers, there is only the first row.
        """
        weights = [self.projection.weights]
        if not all(has_no_axes(w) for _, w in leaves("", weights[0])):
            weights.append(map_leaves(lambda w: None if w is None else -w, weights[0]))
        found = []
        for R in weights:
            self.watcher.number = 0
            found.append([g.ravel() for g in self.projection.gradients_of(self.names, R)])
        return [np.array(rows) for rows in zip(*found, strict=True)]

    def _draw(self, k: int) -> np.ndarray:
        count = int(self.watcher.zeros[k].sum())
        return SMALL * self.rng.uniform(0.5, 1.5, count) * self.rng.choice([-1.0, 1.0], count)

    def slopes(self) -> SlopesAtZero | None:
        """Measure the slopes, one unit after the other. Return None if there are no units."""
        if not self.operations:
            return None
        found = SlopesAtZero(moving={name: np.zeros(v.shape, bool) for name, v in self._variables()})
        for k in self.operations:
            count = int(self.watcher.zeros[k].sum())
            for unit in self.rng.permutation(count)[:UNITS]:
                for _ in range(TRIES):
                    self.watcher.values = {j: self._draw(j) for j in self.operations}
                    wrong, jumps = self._measure(k, unit, SMALL, found.moving)
                    if jumps or wrong:
                        break
                if wrong:
                    # The slopes may come from a sharp bend, such as sqrt(v + 1e-12) at v = 0, and not from a kink. With
                    # values 1000 times smaller than SMALL, such a bend looks like a straight line.
                    wrong, _ = self._measure(k, unit, 1e-3 * SMALL, found.moving)
                found.wrong += wrong
            if found.wrong:
                break
        found.wrong.sort(key=lambda wrong: -abs(wrong.given - wrong.allowed))
        return found

    def _variables(self) -> list[tuple[str, Any]]:
        return [(name, self.projection.variables[name]) for name in self.names]

    def _measure(self, k: int, unit: int, size: float, moving: dict[str, np.ndarray]) -> tuple[list[WrongSlope], bool]:
        """Run backward with one unit at 0, at `size` and at ``-size``. Test the slope that backward uses at 0.

        `k` is the number of the operation, and `unit` is the number of the unit among its zeros. Return the wrong
        slopes, and True if the gradient jumps at 0. Set `moving` to True at the elements whose gradient changes.
        """
        at = []
        for value in (0.0, size, -size):
            self.watcher.values[k][unit] = value
            at.append(self._gradients())
            for (name, v), g, before, s in zip(self._variables(), at[-1], self.before, self.scale, strict=True):
                moving[name] |= (np.abs(g - before) > NOTHING * s).any(axis=0).reshape(v.shape)
        _, plus, minus = at
        jumps = any((np.abs(p - m) > NOTHING * s).any() for p, m, s in zip(plus, minus, self.scale, strict=True))
        return self._wrong(*at), jumps

    def _wrong(self, here: list, plus: list, minus: list) -> list[WrongSlope]:
        """Return a `WrongSlope` with the worst element, for each array whose gradient is not allowed.

        `here`, `plus` and `minus` are the gradients with the unit at zero, at a positive and at a negative value.
        """
        jumps = [p - m for p, m in zip(plus, minus, strict=True)]
        moved = [h - m for h, m in zip(here, minus, strict=True)]
        jump = np.concatenate([(j / s).ravel() for j, s in zip(jumps, self.scale, strict=True)])
        move = np.concatenate([(m / s).ravel() for m, s in zip(moved, self.scale, strict=True)])
        theta = float(np.clip(jump @ move / max(float(jump @ jump), 1e-300), 0, 1))
        found = []
        for (name, v), h, m, j, low, s in zip(self._variables(), here, moved, jumps, minus, self.scale, strict=True):
            apart = np.abs(m - theta * j)
            if apart.max(initial=0.0) > SAME * np.abs(j).max(initial=0.0) + NOTHING * s:
                dy, e = np.unravel_index(int(apart.argmax()), apart.shape)
                index = tuple(int(i) for i in np.unravel_index(int(e), v.shape)) if v.shape else ()
                found.append(WrongSlope(name, index, float(h[dy, e]), float(low[dy, e] + theta * j[dy, e])))
        return found
