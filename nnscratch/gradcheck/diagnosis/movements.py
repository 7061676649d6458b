"""Find the operations of forward for which backward may compute a wrong gradient.

Suppose that only one step of backward is wrong: the step that computes the gradient of a result u inside forward. Let
delta be the error of this step: the computed gradient of u minus the true gradient of u. Move the differentiated arrays
along a direction v. Let du be the derivative of u along v. This file calls du the movement of u.

Let f be the weighted sum of the outputs (projection.py). The gradients that backward returned predict a derivative of f
along v. Because the gradient of u is wrong by delta, this prediction is wrong by <delta, du>, the sum of the products
of the elements of delta and du. The true derivative of f is measured, so each direction gives one linear equation for
the unknown delta. If there are more directions than elements of u, the equations determine delta, and the additional
directions test the solution. If there is no solution, no mistake in this step explains the errors.

Each forward pass measures the movements of all results at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..tape import Node, increment
from .case import MAX_MISFIT
from .forward_graph import ForwardGraph
from .hypotheses import Direction, HypothesisTester

MAX_DIRECTIONS = 120
SPARE = 5  # the number of directions minus the number of unknowns: the additional equations test the solution
MAX_RESIDUAL = 1e-2  # a solution explains the errors if its residuals are below this fraction of the largest error


@dataclass
class Movements:
    """The derivatives of f and of all results inside forward, measured along many directions.

    f is the weighted sum of the outputs.

    Attributes
    ----------
    directions : list of dict
        Each direction maps the name of one differentiated array to the values that are added to the array.
    errors : ndarray
        For each direction, the derivative of f according to backward minus the true derivative.
    noise : float
        The estimated noise in `errors`.
    rows_of : dict of str to slice
        For each wrong array, the directions that move only this array.
    results : dict of int to ndarray
        The derivatives of the results, one row for each direction. The key is the number of the operation.
    """

    directions: list[dict[str, np.ndarray]]
    errors: np.ndarray
    noise: float
    rows_of: dict[str, slice]
    results: dict[int, np.ndarray]

    def can_enter(self, moved: np.ndarray) -> bool:
        """Return True if a wrong gradient of one result inside forward may explain all `errors`.

        `moved` are the derivatives of the result, one row for each direction.
        """
        return self._leaves_nothing(moved, slice(None), True)

    def can_enter_alone(self, moved: np.ndarray) -> bool:
        """Return True if a wrong gradient of one result may explain the errors of at least one wrong array.

        `moved` are the derivatives of the result, one row for each direction. If an array has few elements, only few
        directions move this array. Then the equations for the wrong gradient may have several solutions. In this case,
        return True if at most three arrays are wrong. If more than three arrays are wrong, return False, because the
        tests of many results would take too long.
        """
        if_unknown = len(self.rows_of) <= 3
        return any(self._leaves_nothing(moved, rows, if_unknown) for rows in self.rows_of.values())

    def _leaves_nothing(self, moved: np.ndarray, rows: slice, if_unknown: bool) -> bool:
        a, b = moved[rows], self.errors[rows]
        if np.abs(b).max(initial=0.0) <= 10 * self.noise:
            return False
        solution, _, rank, _ = np.linalg.lstsq(a, b, rcond=1e-9)
        if a.shape[0] < rank + SPARE:
            return if_unknown  # there are too few directions to decide
        return bool(np.abs(a @ solution - b).max() <= MAX_RESIDUAL * np.abs(b).max() + 10 * self.noise)

    def solve(self, moved: np.ndarray) -> np.ndarray | None:
        """Return the solution delta of ``moved @ delta = errors``, or None.

        `moved` are the derivatives of one result, one row for each direction. delta is the gradient that backward
        computes for this result, minus the true gradient. Return None if there is no solution, if there are several
        solutions, or if there are too few directions to test the solution.
        """
        live = np.abs(moved).max(axis=0) > 1e-9 * max(float(np.abs(moved).max()), 1e-300)
        a = moved[:, live]
        if not live.any() or a.shape[0] < a.shape[1] + SPARE:
            return None
        scales = np.abs(a).max(axis=0)
        solution, _, _, singular = np.linalg.lstsq(a / scales, self.errors, rcond=None)
        if singular[-1] < 1e-5 * singular[0]:
            return None  # the derivatives of some elements are proportional, so there are several solutions delta
        off = np.abs(a @ (solution / scales) - self.errors).max()
        if off > MAX_MISFIT * np.abs(self.errors).max() + self.noise:
            return None
        delta = np.zeros(moved.shape[1])
        delta[live] = solution / scales
        return delta


def measure_movements(graph: ForwardGraph, tester: HypothesisTester) -> Movements | None:
    """Move each array along many directions, and measure the derivatives of the results of all operations.

    Return None if this is not possible, for example because the arrays have too few elements.
    """
    tape, variables = graph.tape, graph.projection.variables
    given = {name: case.given for name, case in tester.cases.items()} | {n: p[0] for n, p in tester.right.items()}
    names = list(given)
    rng = np.random.default_rng(11)
    if sum(variables[name].size for name in names) < 2 * SPARE or not any(name in tester.wrong for name in names):
        return None
    limit = max(MAX_DIRECTIONS // len(names), 3)
    if sum(variables[name].size for name in names) <= MAX_DIRECTIONS:
        limit = MAX_DIRECTIONS
    directions: list[dict[str, np.ndarray]] = []
    rows_of = {}
    for name in names:
        shape, size = variables[name].shape, variables[name].size
        rows = np.eye(size) if size <= limit else rng.standard_normal((limit, size))
        if name in tester.wrong:
            rows_of[name] = slice(len(directions), len(directions) + len(rows))
        directions += [{name: row.reshape(shape)} for row in rows]
    slopes, moved = [], []
    for v in directions:
        ends = []
        for h in (tester.h, -tester.h):
            tape.results = {}
            ends.append((tester.value_after({}, Direction(v, 0, 0), None, h), tape.results))
        tape.results = None
        (above, up), (below, down) = ends
        slopes.append((above - below) / (2 * tester.h))
        if not np.isfinite(slopes[-1]):
            return None
        moved.append({k: np.ravel(increment(up[k], down[k]) / (2 * tester.h)) for k in up})
    wanted = np.array([sum(float(np.vdot(given[name], v)) for name, v in d.items()) for d in directions])
    results = {k: np.array([row[k] for row in moved]) for k in up}
    noise = 3 * max(d.noise for d in tester.joint)
    return Movements(directions, wanted - np.array(slopes), noise, rows_of, results)


def movement_of_operand(graph: ForwardGraph, movements: Movements, node: Node, j: int) -> np.ndarray | None:
    """Return the derivatives of operand `j` of the operation `node`, one row for each direction of `movements`.

    Return None if the operand is neither an earlier result nor a differentiated array.
    """
    made = graph.producer(node.operands[j], node.number)
    if made is not None:
        return movements.results.get(made.number)
    name = node.variables[j]
    if name is None:
        return None
    variable, index = graph.projection.variables[name], node.view_indices[j]
    rows = []
    for v in movements.directions:
        whole = np.ravel(v.get(name, np.zeros(variable.shape)))
        rows.append(whole if index is None else whole[np.ravel(index)])
    moved = np.array(rows)
    return moved if moved.shape[1] == np.size(node.operands[j]) else None


def edges_that_can_be_wrong(graph: ForwardGraph, movements: Movements) -> tuple[set, set]:
    """Return two sets of the operands and results of forward whose gradients may be wrong in backward.

    A wrong gradient of an operand or result in the first set can explain the errors of all arrays. A wrong gradient of
    an operand or result in the second set can explain the errors of at least one array. Each item of a set is a pair
    (key in `graph.families`, j), where j is the index of the operand, or -1 for the result.
    """
    together, alone = set(), set()
    for nodes, j, only in graph.edges():
        edge = (nodes[0].family, j)
        parts = [
            movements.results.get(n.number) if j == -1 else movement_of_operand(graph, movements, n, j)
            for n in nodes
            if j == -1 or n.active[j]
        ]
        known = [part for part in parts if part is not None]
        unknown = only is not None or len(known) < len(parts) or not known
        moved = None if unknown else np.hstack(known)
        if moved is None or movements.can_enter(moved):
            together.add(edge)
        if moved is None or movements.can_enter_alone(moved):
            alone.add(edge)
    return together, alone
