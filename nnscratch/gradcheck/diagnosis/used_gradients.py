"""Find an array inside forward for which backward used a wrong gradient, and the formula of this gradient.

Let f be the weighted sum of the outputs (projection.py), and let g be the true gradient of f with respect to an array u
inside forward. The array u may also be an input or a weight. Suppose that backward uses c instead of g, and makes no
other mistake. The movement du of u is the derivative of u along a direction v. The gradients that backward returned
predict a derivative of f along v. This prediction is wrong by <c - g, du>, the sum of the products of the elements of
c - g and du. movements.py has already measured du and the error of the prediction. So any formula for c can be tested
without another forward pass. changed_gradients.py lists these formulas. For example, a student of softmax with
cross-entropy writes ``dz = p`` instead of ``dz = p - t``: then g is p - t, and c is p.

A `Site` is such an array u, or one such array for each iteration of a loop. Backward may use the wrong gradient
of u for all other gradients, or only for the gradient of one array.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..nested import is_array, leaves
from .case import MAX_MISFIT, Case
from .changed_gradients import TARGETS, changed_gradients
from .edits import fits_into
from .forward_graph import MAX_LAYERS, ForwardGraph, content_key, gradient_of_result
from .hypotheses import HypothesisTester
from .movements import Movements, measure_movements

MAX_SIZE = 130  # arrays with more than MAX_SIZE elements are not tested
MIN_ROWS = 4  # a formula is tested only if backward is wrong along at least MIN_ROWS directions
Found = tuple[float, str, str]


@dataclass
class Site:
    """An array u inside forward whose gradient may be wrong, or one such array for each iteration of a loop.

    Attributes
    ----------
    name : str
        The name of u in the report.
    place : str
        The line that computes u.
    readers : list of str
        The expressions that read u.
    values, gradients : list of ndarray
        u, and the true gradient of f with respect to u, in every iteration of a loop.
    moved : ndarray
        The derivatives of all elements of u, one row for each direction.
    """

    name: str
    place: str
    readers: list[str]
    values: list[np.ndarray]
    gradients: list[np.ndarray]
    moved: np.ndarray


def used_gradients(cases: dict[str, Case], graph: ForwardGraph, tester: HypothesisTester) -> None:
    """Find an array inside forward for which backward used a wrong gradient, and add the mistake to `cases`.

    This one wrong gradient must explain the errors of all gradients in `cases`, or the error of one of them.
    """
    open_cases = {name for name, case in cases.items() if not case.found}
    only_targets = not open_cases and all(d.mistake == "a path missing" for c in cases.values() for d in c.ranked()[:1])
    if len(tester.cases) < len(cases) or not (open_cases or only_targets):
        return
    movements = tester.movements or measure_movements(graph, tester)
    if movements is None:
        return
    everything = slice(None)
    for site in sites(graph, tester, movements):
        if tester.budget_spent:
            return
        groups = [(everything, list(cases))] if len(open_cases) in (0, len(cases)) else []
        groups += [(rows, [name]) for name, rows in movements.rows_of.items() if name in open_cases]
        for rows, names in groups:
            for rank, mistake, evidence in fitting_changes(graph, site, movements, rows):
                if only_targets and mistake != TARGETS:
                    continue
                extent = "gradients of all arrays" if rows == everything else "gradient of this array"
                for name in names:
                    own = rank + (0 if rows == everything else 0.5)
                    cases[name].add(own, mistake, f"{evidence}; this explains the {extent}", site.place)


def sites(graph: ForwardGraph, tester: HypothesisTester, movements: Movements) -> Iterator[Site]:
    """Yield a `Site` for each array with a wrong gradient, and for each result whose gradient may be wrong."""
    for name in movements.rows_of:
        case = tester.cases[name]
        if case.by_element and case.true.size <= MAX_SIZE and np.isfinite(case.true).all():
            moved = np.array([np.ravel(v.get(name, np.zeros(case.shape))) for v in movements.directions])
            value = graph.projection.variables[name]
            yield Site(name, name, expressions_with(graph, value), [np.array(value)], [case.true], moved)
    for nodes in graph.families.values():
        size = sum(n.result.size for n in nodes)
        if not 2 <= size <= MAX_SIZE:
            continue
        parts = [movements.results.get(n.number) for n in nodes]
        if any(part is None for part in parts):
            continue
        groups = [nodes] if len(nodes) == 1 else [nodes, *([n] for n in nodes if len(nodes) <= MAX_LAYERS)]
        for group in groups:
            moved = np.hstack([movements.results[n.number] for n in group])
            possible = movements.can_enter(moved) or movements.can_enter_alone(moved)
            if possible and sum(n.result.size for n in group) > 1 and not tester.budget_spent:
                gradients = [gradient_of_result(graph, n) for n in group]
                name = graph.describe(group, -1)
                readers = expressions_with(graph, group[0].result)
                yield Site(name, group[0].place, readers, [n.result for n in group], gradients, moved)


def expressions_with(graph: ForwardGraph, array: np.ndarray) -> list[str]:
    """Return the sources of the operations that read `array`."""
    return [node.expression for node in graph.consumers.get(content_key(array), ())]


def fitting_changes(graph: ForwardGraph, site: Site, movements: Movements, rows: slice) -> Iterator[Found]:
    """Yield (rank, mistake, evidence) for each wrong gradient of one array that explains the errors of backward.

    `site` describes the array. Only the errors along the directions `rows` of `movements` must be explained.
    """
    moved, errors = site.moved[rows], movements.errors[rows]
    size = float(np.abs(errors).max(initial=0.0))
    wrong = int((np.abs(errors) > 1e-4 * size).sum())
    if size <= 10 * movements.noise or wrong < MIN_ROWS - 1 or not np.any(moved):
        return
    g = np.concatenate([np.ravel(x) for x in site.gradients])
    limit = MAX_MISFIT * size + movements.noise
    c = constant_in_place(g, moved, errors, limit)
    if c == 0:
        yield 2.45, "a path missing", f"backward computes as if no gradient passed through {site.name}"
    elif c is not None:
        yield 2.45, "upstream gradient wrong", f"the gradient of {site.name} is taken as {c:.4g} everywhere"
    if wrong < MIN_ROWS:
        return
    for rank, mistake, text, change, free in changed_gradients(site, known_arrays(graph, site), labels(graph)):
        flat = np.concatenate([np.ravel(x) for x in change])
        predicted = moved @ flat
        if free:  # find the factor k for which g + k t fits best
            length = float(predicted @ predicted)
            if length == 0:
                continue
            c = float(predicted @ errors) / length
            predicted = c * predicted
            text = text.replace("%c", f"{-c:.4g}")  # the factor of the term that the wrong gradient lacks
        if np.abs(predicted - errors).max() <= limit:
            yield rank, mistake, text.replace("%u", site.name)


def constant_in_place(g: np.ndarray, moved: np.ndarray, errors: np.ndarray, limit: float) -> float | None:
    """Return the number c that backward used as the gradient of every element, or None if there is no such number.

    An example is the loss of an SVM. For the score of the right class, the true gradient is -n, where n is the number
    of classes above the margin. A wrong backward may use -1 instead.
    """
    used, ones = errors + moved @ g, moved.sum(axis=1)
    length = float(ones @ ones)
    if not np.ptp(g) > 1e-9 * np.abs(g).max() or not length > 0:
        return None
    if np.abs(used).max() <= limit:
        return 0.0
    c = float(used @ ones) / length
    return c if np.abs(c * ones - used).max() <= limit else None


def known_arrays(graph: ForwardGraph, site: Site) -> list[tuple[list[np.ndarray], str, bool]]:
    """Return a list of (values, name, is_constant): float arrays of forward that backward may use by mistake.

    `values` is a list with the array in each iteration of a loop, broadcast to the shape of the array that `site`
    describes. Leave out arrays that cannot be broadcast to this shape. `is_constant` is True if the array does not
    depend on a differentiated array.
    """
    found: list[tuple[list[np.ndarray], str, bool]] = []
    shapes = [x.shape for x in site.values]
    still, moving = set(), set()
    for node in graph.nodes:
        moving |= {content_key(node.result)} if any(node.active) else set()
        for x, active in zip(node.operands, node.active, strict=True):
            if isinstance(x, np.ndarray):
                (moving if active else still).add(content_key(x))
    for keys, (values, name) in graph.arrays.get(len(site.values), {}).items():
        if not all(key in still or key in moving for key in keys):
            continue  # the output does not depend on this array: forward uses it only to compute a gradient
        if values[0].dtype.kind == "f" and all(has_values_for(v.shape, s) for v, s in zip(values, shapes, strict=True)):
            spread = [np.broadcast_to(v, s) for v, s in zip(values, shapes, strict=True)]
            if not all(np.isfinite(v).all() for v in spread):
                continue  # for example, masked scores are -inf
            found.append((spread, name, all(key in still and key not in moving for key in keys)))
            if all((v < 0).all() for v in spread):  # the values may be logarithms of probabilities
                found.append(([np.exp(v) for v in spread], f"exp({name})", False))
    return found


def has_values_for(small: tuple[int, ...], large: tuple[int, ...]) -> bool:
    """Return True if an array of shape `small` has an axis longer than 1 and can be broadcast to the shape `large`."""
    return any(n > 1 for n in small) and fits_into(small, large)


def constants(graph: ForwardGraph) -> list[tuple[str, np.ndarray]]:
    """Return (name, array) for each array that the check does not differentiate.

    Such arrays are inputs, targets, and arrays in the user's objects.
    """
    adapter, variables = graph.projection.adapter, graph.projection.variables
    own = {id(v) for v in variables.values()}
    given = [
        (n, a) for name, nest in zip(adapter.input_names, adapter.inputs, strict=True) for n, a in leaves(name, nest)
    ]
    held = [("an array that the code stores", a) for a in graph.projection.constant_arrays()[:12]]
    held += [("the targets", a) for a in adapter.targets]
    shared = [v for v in variables.values()]
    return [
        (name, np.asarray(a))
        for name, a in given + held
        if is_array(a) and id(a) not in own and not any(np.may_share_memory(a, v) for v in shared)
    ]


def labels(graph: ForwardGraph) -> list[tuple[str, np.ndarray]]:
    """Return (name, flat array) for each integer array that may contain class labels."""
    return [(name, a.ravel()) for name, a in constants(graph) if a.dtype.kind in "iu" and a.size and a.min() >= 0]
