"""Mistakes about *which* outputs were counted, found from every output's share in the gradient.

Differences of all outputs y at once give each element's row of the Jacobian, dy/dw. The true gradient is that row
times R; a backward that forgets a sample, a step in time or one of the outputs gives the row times R with zeros in it.
In directional mode a row belongs to a direction v instead of an element: it is the Jacobian times v.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import backend
from ..tree import is_array, is_float, leaves
from .along import CaseAlong
from .evidence import GOOD, Case

BUDGET = 400_000  # numbers in a Jacobian; along a few directions, ten times as many


def shares(case: Case) -> None:
    """Test every mistake of this kind."""
    if not case.same_shape and case.given.ndim != 1:
        return
    objective, array = case.objective, case.objective.variables[case.name]
    R = objective.flat_weights()
    if R.size < 2 or not case.usable:
        return
    if isinstance(case, CaseAlong):
        if 4 * R.size > 10 * BUDGET:
            return
        J = RowsAlong(case)
        if not case.off(J.rows @ R, case.slopes) <= GOOD:
            return
    else:
        if array.size * R.size > BUDGET:
            return
        J = Rows(case)
    outputs = [(n, y) for n, y in leaves("output", objective.outputs) if is_float(y)]
    slots = slices(outputs)
    summed_over_the_wrong_axis(case, J, R, outputs)
    if not case.same_shape:
        return
    elementwise(case, J, R, outputs)
    diagonal(case, J, R, outputs)

    def counting(mask: np.ndarray) -> np.ndarray:
        return J.rows @ (R * mask)

    if len(outputs) > 1:
        for (name, _), slot in zip(outputs, slots, strict=True):
            only, without = np.zeros(R.size), np.ones(R.size)
            only[slot], without[slot] = 1, 0
            words = f"the gradient that comes in through {name} is not used"
            case.test_seen(3.5, counting(without), "the state's own path missing", words)
            case.test_seen(3.6, counting(only), "the state's own path missing", f"only that through {name} is used")
    for (name, y), slot in zip(outputs, slots, strict=True):
        if not is_array(y) or y.ndim < 1:
            continue
        if y.ndim == 3 and y.shape[1] > 1:
            for t, words in ((-1, "last"), (0, "first")):
                case.test_seen(
                    4,
                    counting(along(R.size, slot, y.shape, 1, t)),
                    f"only the {words} time step counted",
                    f"the true gradient of {name} at that step alone",
                )
                case.test_seen(
                    4.2,
                    counting(np.ones(R.size) - part(R.size, slot, y.shape, 1, t)),
                    f"the {words} time step not counted",
                    f"the true gradient of {name} at all other steps",
                )
        if y.ndim >= 2 and y.shape[0] > 1:
            N = y.shape[0]
            for n in range(min(N, 16)):
                case.test_seen(
                    4,
                    counting(along(R.size, slot, y.shape, 0, n)),
                    "one sample counted",
                    f"the true gradient of sample {n} alone",
                )
                case.test_seen(
                    4.1,
                    counting(along(R.size, slot, y.shape, 0, n)) / N,
                    "one sample counted",
                    f"the true gradient of sample {n} alone, divided by N",
                )
                case.test_seen(
                    4.3,
                    counting(np.ones(R.size) - part(R.size, slot, y.shape, 0, n)),
                    "one sample not counted",
                    f"the true gradient of all samples but {n}",
                )
        repeated_ids(case, counting, R.size, slot, y)


class Rows:
    """dy/dw for every element of the array, by central differences.

    Attributes
    ----------
    rows : ndarray
        A row of all outputs' derivatives for each element; in `RowsAlong` for each direction.
    total : ndarray
        The sum over the elements: the derivatives if all move together.
    own : ndarray or None
        dy_i/dx_i, where there are as many outputs as elements, and that can be known.
    diagonal : bool
        No output depends on another element than its own.
    """

    def __init__(self, case: Case):
        objective, array = case.objective, case.objective.variables[case.name]
        rows = []
        for place in np.ndindex(array.shape):
            value = float(array[place])
            h = 1e-5 * max(1.0, abs(value))
            try:
                array[place] = value + h
                above = objective.values()
                array[place] = value - h
                rows.append((above - objective.values()) / (2 * h))
            finally:
                array[place] = value
        self.rows = np.array(rows)
        self.total = self.rows.sum(axis=0)
        square = self.rows.shape[0] == self.rows.shape[1]
        self.own = np.diag(self.rows) if square else None
        self.diagonal = square and nearly(self.rows, np.diag(self.own))


class RowsAlong:
    """dy for a movement along each of the case's directions, and for one of all elements together."""

    def __init__(self, case: CaseAlong):
        self.case = case
        self.rows = np.array([self._row(v) for v in case.directions])
        self.total = self._row(np.ones(case.shape))
        moves = np.array([np.ravel(v) for v in case.directions])
        self.diagonal = moves.shape == self.rows.shape and nearly(self.rows, moves * self.total)
        self.own = self.total if self.diagonal else None

    def _row(self, v: np.ndarray, h: float = 1e-5) -> np.ndarray:
        objective, array = self.case.objective, self.case.objective.variables[self.case.name]
        held, v = array.copy(), backend.array_module(array).asarray(v, dtype=array.dtype)
        try:
            array[...] = held + h * v
            above = objective.values()
            array[...] = held - h * v
            return (above - objective.values()) / (2 * h)
        finally:
            array[...] = held


def nearly(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.abs(a - b).max() <= 1e-6 * max(float(np.abs(b).max()), 1e-300))


def slices(outputs: list[tuple[str, Any]]) -> list[slice]:
    """Where each output lies in the flat row of all of them."""
    found, start = [], 0
    for _, y in outputs:
        size = y.size if is_array(y) else 1
        found.append(slice(start, start + size))
        start += size
    return found


def part(size: int, slot: slice, shape: tuple[int, ...], axis: int, index: int) -> np.ndarray:
    """1 at one index along an axis of one output, else 0."""
    inside = np.zeros(shape)
    inside[(slice(None),) * axis + (index,)] = 1
    mask = np.zeros(size)
    mask[slot] = inside.ravel()
    return mask


def along(size: int, slot: slice, shape: tuple[int, ...], axis: int, index: int) -> np.ndarray:
    """1 at one index along an axis of one output, and at all other outputs."""
    mask = np.ones(size)
    mask[slot] = 0
    return mask + part(size, slot, shape, axis, index)


def elementwise(case: Case, J: Rows | RowsAlong, R: np.ndarray, outputs: list) -> None:
    """y = phi(x) element by element: which factor stands where phi'(x) should?"""
    x = backend.to_numpy(case.objective.variables[case.name]).ravel()
    if len(outputs) != 1 or not J.diagonal:
        return
    d = J.own
    y = np.asarray(backend.to_numpy(outputs[0][1])).ravel()
    shape, levels = case.given.shape, np.unique(np.round(d, 6))
    kept = levels[levels != 0]
    on_off = len(levels) == 2 and 0 in levels
    a = case.given.ravel() / R

    def test(rank: float, slope: Any, mistake: str, evidence: str) -> None:
        case.test(rank, (R * slope).reshape(shape), mistake, evidence)

    if on_off:
        test(1.1, np.ones(x.size), "mask not applied", "given = dy, also where forward lets nothing through")
        test(
            1.1, np.full(x.size, kept[0]), "mask not applied", f"given = {kept[0]:.4g} * dy, also where y does not move"
        )
        if abs(kept[0] - 1) > 1e-6:
            test(
                1.2,
                (d != 0).astype(float),
                "keep-probability not applied",
                f"forward multiplies by {kept[0]:.4g}, backward does not",
            )
            test(
                1.2,
                (d != 0) / kept[0],
                "keep-probability not applied",
                f"forward multiplies by {kept[0]:.4g}, backward divides by it",
            )
        test(1.3, np.where(d != 0, 0, kept[0]), "mask inverted", "the gradient passes exactly where it should not")
        passed = np.abs(a - kept[0]) <= GOOD * abs(kept[0])
        if x.size >= 8 and passed.any() and not passed.all() and not np.any(a[~passed]):
            words = f"given is 0 or {kept[0]:.4g} * dy, as it should, but not where forward has it"
            case.add(1.6, "another mask applied", f"{words}: {int((passed != (d != 0)).sum())} of {x.size} differ")
    else:
        later = 0.0 if len(case.objective.variables) == 1 else 2.5  # a weight may be the factor that is missing
        test(1.2 + later, np.ones(x.size), "activation's derivative missing", "given = dy, unchanged")
        test(1.2 + later, y, "activation's derivative wrong", "given = dy * y")
        test(1.2 + later, 1 - y, "activation's derivative wrong", "given = dy * (1 - y)")
        test(1.2 + later, y**2, "activation's derivative wrong", "given = dy * y^2")
        test(1.2 + later, 1 + y**2, "activation's derivative wrong", "given = dy * (1 + y^2)")
        test(1.2 + later, y * (1 + y), "activation's derivative wrong", "given = dy * y (1 + y)")
        test(
            1.2 + later, y * (1 - y), "activation's derivative wrong", "given = dy * y (1 - y), which is the sigmoid's"
        )
        test(1.2 + later, 1 - y**2, "activation's derivative wrong", "given = dy * (1 - y^2), which is tanh's")
        test(1.3 + later, d**2, "activation's derivative applied twice", "given = dy * phi'(x)^2")
    wrong_point = "derivative taken at the wrong value"
    test(1.15, x * (1 - x), wrong_point, "given = dy * x (1 - x): the formula for the output y, given the input x")
    test(1.15, 1 - x**2, wrong_point, "given = dy * (1 - x^2): the formula for the output y, given the input x")
    at_dy = slope_at(case, R)
    if at_dy is not None:
        test(1.12, at_dy, wrong_point, "given = dy * phi'(dy): phi' is taken at dy, not at x")
    if not on_off and y.size == x.size and case.misfit((R * d).reshape(shape)) > GOOD:
        at_y = slope_at(case, y)
        if at_y is not None:
            test(
                1.1, at_y, wrong_point, "given = dy * phi'(y): phi' is taken at the activation, not the pre-activation"
            )
    positive = np.sign(a) if not np.any(a == 0) else None
    if positive is not None and on_off:
        test(1.4, (x >= 0).astype(float), "mask not applied", "given = dy where x >= 0")


def slope_at(case: Case, point: np.ndarray) -> np.ndarray | None:
    """phi'(point), by differences of forward itself."""
    array = case.objective.variables[case.name]
    held = array.copy()
    at_point = backend.array_module(array).asarray(point.reshape(array.shape), dtype=array.dtype)
    try:
        array[...] = at_point + 1e-5
        above = case.objective.values()
        array[...] = at_point - 1e-5
        slope = (above - case.objective.values()) / 2e-5
    except (ValueError, ArithmeticError):
        return None
    finally:
        array[...] = held
    return slope if np.isfinite(slope).all() else None


def diagonal(case: Case, J: Rows | RowsAlong, R: np.ndarray, outputs: list) -> None:
    """The Jacobian's diagonal alone, as in s (1 - s) for a softmax."""
    if len(outputs) == 1 and R.size == case.true.size and not J.diagonal:
        shape = case.shape
        if J.own is not None:
            words = "given = dy_i * dy_i/dx_i: every other output's share is left out"
            case.test(1, (R * J.own).reshape(shape), "Jacobian reduced to its diagonal", words)
        y = np.asarray(backend.to_numpy(outputs[0][1])).ravel()
        case.test(1.5, (R * y).reshape(shape), "Jacobian reduced to its diagonal", "given = dy * y")
        case.test(3.6, R.reshape(shape), "Jacobian missing", "given = dy, unchanged")


def repeated_ids(case: Case, counting: Any, size: int, slot: slice, y: Any) -> None:
    """Rows looked up more than once, counted once: the last time, or the first."""
    for name, ids in zip(case.objective.target.input_names, case.objective.target.inputs, strict=True):
        if not is_array(ids) or ids.dtype.kind not in "iu" or y.shape[: ids.ndim] != ids.shape:
            continue
        flat = backend.to_numpy(ids).ravel()
        if len(np.unique(flat)) == len(flat):
            continue
        for which, words in ((flat[::-1], "last"), (flat, "first")):
            first = np.zeros(len(flat))
            first[np.unique(which, return_index=True)[1]] = 1
            once = first[::-1] if words == "last" else first
            mask = np.ones(size)
            mask[slot] = np.broadcast_to(once.reshape(ids.shape + (1,) * (y.ndim - ids.ndim)), y.shape).ravel()
            case.test_seen(
                1,
                counting(mask),
                "rows met twice counted once",
                f"the true gradient if only the {words} time an id stands in {name} is counted",
            )


def summed_over_the_wrong_axis(case: Case, J: Rows | RowsAlong, R: np.ndarray, outputs: list) -> None:
    """A bias gradient summed over features where it should be over the batch."""
    given = case.given
    if len(case.shape) != 1 or given.ndim != 1 or len(outputs) != 1 or not is_array(outputs[0][1]):
        return
    shape = outputs[0][1].shape
    contributions = (J.total * R).reshape(shape)
    for axis in range(len(shape)):
        kept = contributions.sum(axis=tuple(a for a in range(len(shape)) if a != axis))
        if kept.shape != given.shape:
            continue
        if case.same_shape:
            fits = case.misfit(kept) <= GOOD < case.misfit(case.true)
        else:
            fits = np.abs(kept - given).max() <= GOOD * np.abs(given).max()
        if fits:
            case.add(0.65, "summed over the wrong axis", f"given is the sum over all axes of the output but {axis}")
