"""Where the error enters: the error of the gradient of one result inside forward.

If everything but one step of backward is right, the gradient of the result u that this step computes is off by some
delta, and the error of every array's gradient follows from it: along a direction v, it is <delta, du>, where du is the
movement of u along v. With more directions than elements of u, delta can be solved for, and the directions left over
test it. The gradient that backward had for u is then known, element by element, and shows how it was computed.

The movements of all results along all directions come from the same forward passes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..tape import Node
from .case import MAX_MISFIT, Case
from .forward_graph import ForwardGraph
from .hypotheses import Direction, HypothesisTester
from .slope_formulas import name_slope
from .wrong_slopes import ElementwiseFunction, find_functions

MAX_SIZE = 64  # elements of a result whose gradient is solved for
SPARE = 5  # this many directions, or more, test the solution


@dataclass
class Movements:
    """Directions through all arrays, the error of the gradient along each, and how every operation moves.

    Attributes
    ----------
    directions : list of dict
    errors : ndarray
        The derivative given minus the true one, for each direction.
    noise : float
        About the error of `errors`.
    results : dict of int to ndarray
        For each operation, the movement of its result, one row for each direction.
    """

    directions: list[dict[str, np.ndarray]]
    errors: np.ndarray
    noise: float
    results: dict[int, np.ndarray]

    def solve(self, moved: np.ndarray) -> np.ndarray | None:
        """Return the error of the gradient of a result that moves by `moved`; None if that does not explain all."""
        live = np.abs(moved).max(axis=0) > 1e-9 * max(float(np.abs(moved).max()), 1e-300)
        a = moved[:, live]
        if not live.any() or a.shape[0] < a.shape[1] + SPARE:
            return None
        scales = np.abs(a).max(axis=0)
        solution, _, _, singular = np.linalg.lstsq(a / scales, self.errors, rcond=None)
        if singular[-1] < 1e-5 * singular[0]:
            return None  # some elements always move together
        off = np.abs(a @ (solution / scales) - self.errors).max()
        if off > MAX_MISFIT * np.abs(self.errors).max() + self.noise:
            return None
        delta = np.zeros(moved.shape[1])
        delta[live] = solution / scales
        return delta


def measure_movements(graph: ForwardGraph, tester: HypothesisTester, given: dict[str, np.ndarray]) -> Movements | None:
    """Measure the movements along enough directions through all arrays whose gradient is `given`; None if too many."""
    tape, variables = graph.tape, graph.projection.variables
    names = [name for name, g in given.items() if g.shape == variables[name].shape and np.isfinite(g).all()]
    sizes = [variables[name].size for name in names]
    total, rng = sum(sizes), np.random.default_rng(11)
    count = min(total, MAX_SIZE + 2 * SPARE)
    if total < 2 * SPARE or not any(name in tester.wrong for name in names):
        return None
    flat = np.eye(total) if count == total else rng.standard_normal((count, total))
    directions = []
    for row in flat:
        parts = np.split(row, np.cumsum(sizes)[:-1])
        pairs = zip(names, parts, strict=True)
        directions.append({name: part.reshape(variables[name].shape) for name, part in pairs if part.any()})
    slopes, rows = [], []
    for v in directions:
        ends = []
        for h in (tester.h, -tester.h):
            tape.results = {}
            ends.append((tester.value_after({}, Direction(v, 0, 0), None, h), tape.results))
        tape.results = None
        (above, up), (below, down) = ends
        slopes.append((above - below) / (2 * tester.h))
        rows.append({k: np.ravel((up[k] - down[k]) / (2 * tester.h)) for k in up if k in down})
    if not np.isfinite(slopes).all():
        return None
    wanted = np.array([sum(float(np.vdot(given[name], v)) for name, v in d.items()) for d in directions])
    errors = wanted - np.array(slopes)
    results = {k: np.array([row[k] for row in rows]) for k in rows[0]}
    noise = 3 * max((d.noise for d in tester.joint), default=0.0)
    return Movements(directions, errors, noise, results)


def gradient_errors(cases: dict[str, Case], graph: ForwardGraph, tester: HypothesisTester) -> None:
    """Add the mistakes that the solved gradients of results show, if nothing else explains an array."""
    if all(case.found for case in cases.values()) or len(tester.cases) < len(cases):
        return
    given = {name: case.given for name, case in cases.items()} | {n: pair[0] for n, pair in tester.right.items()}
    movements = measure_movements(graph, tester, given)
    if movements is None:
        return
    for rank, mistake, evidence, place in wrong_functions(graph, movements):
        for case in cases.values():
            case.add(rank, mistake, f"{evidence}; this explains all arrays", place)


def wrong_functions(graph: ForwardGraph, movements: Movements) -> Iterator[tuple[float, str, str, str]]:
    """Yield (rank, mistake, evidence, place) for functions y = phi(u) whose slope in backward can be named."""
    for sources, j, sinks, block in find_functions(graph):
        if len(sources) > 1 or np.size(sources[0].operands[j]) > MAX_SIZE:
            continue
        source, sink = sources[0], sinks[0]
        nodes = block(source, sink)
        if sink not in nodes:
            continue
        f = ElementwiseFunction(source, j, sink, nodes)
        if not f.is_nonlinear:
            continue
        moved = movement_of_operand(graph, movements, source, j)
        delta = movements.solve(moved) if moved is not None else None
        if delta is None:
            continue
        upstream = gradient_of_result(graph, sink)
        if not (np.abs(upstream) > 1e-9).all():
            continue
        used = f.d + delta.reshape(f.d.shape) / upstream
        named = name_slope(f.u, f.y, f.d, used, f, f.slope_at)
        if named is not None:
            rank, mistake, evidence = named
            place = f"the derivative with respect to `{source.operand_names[j]}`"
            yield rank, mistake, f"{evidence} ({place})", sink.place


def movement_of_operand(graph: ForwardGraph, movements: Movements, node: Node, j: int) -> np.ndarray | None:
    """Return the movement of an operand, one row for each direction: it is an earlier result, or an array itself."""
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
    return np.array(rows) if rows and rows[0].size == np.size(node.operands[j]) else None


def gradient_of_result(graph: ForwardGraph, node: Node) -> np.ndarray:
    """Return the true gradient of f with respect to the result of an operation, by differences."""
    gradient = np.zeros(node.result.shape)
    for index in np.ndindex(gradient.shape):
        unit = np.zeros(gradient.shape)
        unit[index] = 1
        gradient[index] = graph.derivative_by_result(node, unit)
    return gradient
