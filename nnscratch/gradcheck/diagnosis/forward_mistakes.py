"""Find mistakes inside forward: record its operations on a tape, and test hypotheses about them.

A hypothesis is a mistake that backward may contain. To test it, forward is changed, so that some operations have
a wrong derivative. The hypothesis is accepted if, for all arrays, the gradient of the changed forward equals the
gradient that backward returned. The evidence names the line of forward that backward differentiates wrongly.

For example, forward computes ``h = np.tanh(z)``, and a student forgets the factor 1 - h^2: ``dz = dh``. The changed
forward gives np.tanh the derivative 1. Its gradients equal the gradients from backward, so the evidence names the line
of np.tanh.

A loop executes the same operation once in each iteration. In this folder, these executions are a family: a list with
one `Node` for each iteration. In a report, an iteration is called a round. If forward uses an array w as an operand
several times, each of these operands is an occurrence of w.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ..projection import Projection
from ..report import GradientReport
from ..tape import CannotTape, Node, Tape, change_path
from .array_mistakes import explain_constant
from .case import Case
from .edits import fits_into
from .forward_graph import MAX_LAYERS, ForwardGraph, content_key, gradient_of_result
from .gradient_errors import gradient_errors
from .hypotheses import Hypothesis, HypothesisTester, search_failed
from .linalg_mistakes import linalg_mistakes
from .missing_paths import (
    cut_paths,
    single_paths,
    skipped_rounds,
    two_cut_paths,
    upstream_missing,
)
from .movements import edges_that_can_be_wrong, measure_movements
from .normalisation_mistakes import constants_differentiated, normalisation_mistakes
from .random_masks import is_random_mask
from .reordered_axes import axes_in_words, axis_sets, reordered_axes
from .softmax_mistakes import softmax_jacobians
from .state_mistakes import state_mistakes
from .used_gradients import used_gradients
from .wrong_factors import swapped_blocks, wrong_factors, wrong_powers
from .wrong_maxima import larger_of_two, wrong_maxima
from .wrong_positions import moved_results, read_elsewhere
from .wrong_slopes import is_mask_product, wrong_slopes
from .wrong_sums import wrong_sums
from .wrong_uses import wrong_uses
from .wrong_windows import moved_windows, overwritten_windows, repeated_rows, turned_kernels


def forward_mistakes(cases: dict[str, Case], right: dict, report: GradientReport, projection: Projection) -> None:
    """Find the operations of forward that backward differentiates wrongly, and add these mistakes to `cases`.

    If forward cannot be recorded on a tape, add a note to `report`.
    """
    try:
        with Tape(projection) as tape:
            graph = ForwardGraph(tape)
            gradients_of_results(cases, graph)
            tester = HypothesisTester(tape, cases, right)
            if tester.usable:
                try_hypotheses(cases, graph, tester, report.notes)
                if tester.fixed and not all(case.found for case in cases.values()):
                    # In these tests, the maximum that a softmax subtracts was a constant. Backward may differentiate
                    # this maximum, so test the hypotheses again.
                    tape.skipped -= tester.fixed.keys()
                    tester.fixed = {}
                    try_hypotheses(cases, graph, tester, report.notes)
    except CannotTape as error:
        if not all(case.found for case in cases.values()):
            report.notes.append(f"the inside of forward was not searched for the mistake: {error}")


# The evidence for these mistakes already says which iterations are wrong.
ABOUT_ROUNDS = {"accumulator not reset", "the state's own path missing"}
MAX_SIZE = 400  # for an array with more than MAX_SIZE elements, do not run forward once for each element
# If forward has at least MANY_FAMILIES operations, first find the operations that can be wrong. The executions of one
# operation in a loop count once.
MANY_FAMILIES = 12
KINDS = (  # functions that yield hypotheses, in about the order of their ranks
    upstream_missing,
    wrong_slopes,
    softmax_jacobians,
    normalisation_mistakes,
    wrong_sums,
    linalg_mistakes,
    wrong_maxima,
    larger_of_two,
    cut_paths,
    state_mistakes,
    overwritten_windows,
    repeated_rows,
    moved_windows,
    moved_results,
    read_elsewhere,
    turned_kernels,
    skipped_rounds,
    wrong_factors,
    swapped_blocks,
    wrong_powers,
    two_cut_paths,
    constants_differentiated,
)


def hypotheses(graph: ForwardGraph, notes: list[str]) -> Iterator[Hypothesis]:
    """Yield the hypotheses of all functions in `KINDS`. If a function raises an error, add a note and continue."""
    for kind in KINDS:
        try:
            yield from kind(graph)
        except Exception as error:
            notes.append(search_failed(kind.__name__, error))


def try_hypotheses(cases: dict[str, Case], graph: ForwardGraph, tester: HypothesisTester, notes: list[str]) -> None:
    """Test all hypotheses until the tester's budget is spent. If a hypothesis fits, add its mistake to `cases`."""
    tried: list[Hypothesis] = []
    best = least_rank(cases)
    alone: set | None = None
    graph.can_be_wrong = None
    if len(graph.families) >= MANY_FAMILIES:  # first find out which operations can be wrong
        tester.movements = measure_movements(graph, tester)
    if tester.movements is not None:
        graph.can_be_wrong, alone = edges_that_can_be_wrong(graph, tester.movements)
    for h in hypotheses(graph, notes):
        if tester.budget_spent:
            return
        if h.rank > best + 0.5:
            continue  # a mistake with a smaller rank already explains all arrays
        tried.append(h)
        explained = tester.explained_arrays(h)
        if len(explained) == len(cases):
            best = min(best, h.rank)
        for name in explained:
            cases[name].add(h.rank, h.mistake, f"{h.evidence}; {explains(h)}", h.place)
    if not all(case.found for case in cases.values()):
        in_some_rounds(cases, tried, graph, tester)
    for search in (
        path_factors,
        mistakes_in_one_use,
        missing_array_factors,
        wrong_uses,
        gradient_errors,
        used_gradients,
    ):
        try:
            search(cases, graph, tester)
        except Exception as error:
            notes.append(search_failed(search.__name__, error))
    unexplained = [name for name in tester.wrong if cases[name].few or not cases[name].found]
    if unexplained and alone is not None:
        graph.can_be_wrong = alone
        tried = list(hypotheses(graph, notes))
    remark = "only this array was tested"
    if len(cases) == 1 and tester.right:
        remark = "the other gradients are right, so the mistake is where backward computes this gradient"
    for h in tried if unexplained else ():  # backward may contain two mistakes, so test each array alone
        for name in unexplained:
            if tester.budget_spent:
                return
            if h.only in (None, name) and tester.explains_alone(h, name):
                cases[name].add(5 + h.rank, h.mistake, f"{h.evidence}; {remark}", h.place)


def in_some_rounds(
    cases: dict[str, Case], tried: list[Hypothesis], graph: ForwardGraph, tester: HypothesisTester
) -> None:
    """Test whether a hypothesis about a loop is right in only some iterations of the loop.

    For example, if a loop runs over layers, backward may be wrong only in the last layer.
    """
    for h in tried:
        rounds: dict[int, dict] = {}
        for number, change in h.changes.items():
            rounds.setdefault(graph.tape.nodes[number].round, {})[number] = change
        if not 2 <= len(rounds) <= MAX_LAYERS or h.mistake in ABOUT_ROUNDS or h.mistake.startswith("only the "):
            continue
        if h.mistake == "a path missing" and h.only and len(rounds) > 2:
            continue  # wrong_uses.py finds the iterations that backward leaves out
        last, first = max(rounds), min(rounds)
        kept = [[r for r in rounds if r != last], [r for r in rounds if r != first], *([r] for r in rounds)]
        for some in kept[2:] if len(rounds) == 2 else kept:
            if tester.budget_spent:
                return
            part = replace(h, changes={k: v for r in some for k, v in rounds[r].items()})
            for name in tester.explained_arrays(part):
                which = f"only in round {', '.join(map(str, sorted(some)))} (of the rounds 0 to {last})"
                cases[name].add(h.rank + 0.3, h.mistake, f"{h.evidence}, {which}; {explains(h)}", h.place)


def explains(h: Hypothesis) -> str:
    """Return a text for the report that says which gradients the accepted hypothesis `h` explains."""
    extent = "gradient of this array" if h.only else "gradients of all arrays"
    return f"this explains the {extent} (tested along 3 random directions)"


def path_factors(cases: dict[str, Case], graph: ForwardGraph, tester: HypothesisTester) -> None:
    """Test whether backward multiplies the gradient with respect to one operand by a constant, such as -1 or 2."""
    for cut, only, node, path in single_paths(graph):
        if tester.budget_spent:
            return
        c = tester.path_factor(cut, only)
        if c is None:
            continue
        for name in [only] if only else tester.wrong:
            if is_keep_probability(graph, node, c):
                evidence = f"the gradient through {path} {counted(c)}: the scale of the mask is missing"
                cases[name].add(1.2, "keep-probability not applied", evidence, node.place)
            add_path_factor(cases[name], c, node.place, path)


def is_keep_probability(graph: ForwardGraph, node: Node, c: float) -> bool:
    """Return True if backward leaves out the scale of dropout, such as the 2 in h = 2 * (x * mask).

    `node` is the operation that may multiply the masked values by the scale or divide them by it. `c` is the ratio of
    backward's gradient to the true gradient: 1 / 2 in the example.
    """
    if node.name not in ("multiply", "divide") or len(node.operands) != 2:
        return False
    scale = next((np.asarray(x).item() for x in node.operands if np.size(x) == 1), None)
    masked = next((x for x in node.operands if np.size(x) > 1), None)
    if scale is None or masked is None or min(abs(c - scale), abs(c * scale - 1)) > 1e-4:
        return False
    made = graph.producer(masked, node.number)
    if made is None or not is_mask_product(made):
        return False
    mask = made.operands[made.active.index(False)]
    return is_random_mask(graph.projection, mask, " ".join([*made.operand_names, *node.operand_names]))


def least_rank(cases: dict[str, Case]) -> float:
    """Return the smallest rank of a mistake that explains all wrong arrays, or infinity if there is no such mistake."""
    ranks: dict[str, list[float]] = {}
    for case in cases.values():
        mine: dict[str, float] = {}
        for rank, diagnosis in case.found:
            mine[diagnosis.mistake] = min(rank, mine.get(diagnosis.mistake, np.inf))
        for mistake, rank in mine.items():
            ranks.setdefault(mistake, []).append(rank)
    return min((max(r) for r in ranks.values() if len(r) == len(cases)), default=np.inf)


def add_path_factor(case: Case, c: float, place: str, path: str) -> None:
    """Add this mistake to `case`: backward multiplies the gradient of an operand by `c`. `path` names the operand."""
    c = round(c) if abs(c - round(c)) < 1e-4 else c  # a measured slope has noise in its last digits
    evidence = f"the gradient through {path} {counted(c)}"
    # For arrays, a factor such as c = 3 is often the length of an axis along which backward forgets to take a mean.
    # Plain numbers have no axes, so c = 3 shows that backward adds the gradient three times.
    of_numbers = all(v.ndim == 0 for v in case.projection.variables.values())
    if c == -1:
        case.add(1.05, "sign flipped", evidence, place)
    elif c == 2 or (of_numbers and c in range(3, 10)):
        case.add(2.6, "counted twice", evidence, place)
    elif c != 1:
        constant = explain_constant(case, c)
        case.add(6.2, "scaled by a constant", f"{evidence}{f'; {constant}' if constant else ''}", place)


def counted(c: float) -> str:
    """Return a text which says that backward multiplies a gradient by `c`, for example "is counted twice" for 2."""
    if abs(c + 1) < 1e-4:
        return "has the wrong sign"
    whole = abs(c - round(c)) < 1e-4
    return f"is counted {'twice' if round(c) == 2 else f'{round(c)} times'}" if whole else f"is multiplied by {c:.4g}"


def gradients_of_results(cases: dict[str, Case], graph: ForwardGraph) -> None:
    """Test a gradient of the wrong shape: backward may have returned the gradient of a result inside forward.

    For example, forward computes y = x @ w, and a student writes ``dw = dy`` instead of ``dw = x.T @ dy``.
    """
    for case in cases.values():
        given = case.given
        if case.found or given.shape == case.shape or given.dtype.kind != "f" or not np.isfinite(given).all():
            continue
        gradients_of_broadcast_uses(case, graph)
        if given.size < 2 or case.found:
            continue
        for node in (nodes[0] for nodes in graph.families.values() if len(nodes) == 1):
            named = [*zip(node.operands, node.operand_names, strict=True), (node.result, node.expression)]
            for array, name in named:
                for how in ("", ", transposed"):
                    if np.array_equal(np.transpose(array) if how else array, given):
                        evidence = f"the given gradient is `{name}`{how}: "
                        evidence += "backward does not multiply it by the incoming gradient"
                        case.add(2.3, "upstream gradient missing", evidence)
        v = np.random.default_rng(3).standard_normal(given.shape)
        slope, tolerance = float((given * v).sum()), 1e-5 * float(np.abs(given).max())
        for nodes in graph.families.values():
            if len(nodes) == 1 and nodes[0].result.shape == given.shape and any(nodes[0].active):
                if abs(graph.derivative_by_result(nodes[0], v) - slope) <= tolerance:
                    result = graph.describe(nodes, -1)
                    evidence = f"the given gradient is the gradient of {result}; "
                    evidence += f"backward does not multiply it by the derivative of {result} "
                    evidence += f"with respect to {case.name}"
                    case.add(2.4, "a factor missing", evidence, nodes[0].place)


def gradients_of_broadcast_uses(case: Case, graph: ForwardGraph) -> None:
    """Test a gradient of the wrong shape: backward may have summed over the wrong axis, or over all axes.

    For example, a student writes ``db = dy.sum()`` or ``db = dy.sum(axis=1)`` instead of ``db = dy.sum(axis=0)``.
    """
    given = case.given
    for nodes, j, only in graph.edges():
        node = nodes[0]
        if only != case.name or node.name not in ("add", "subtract", "multiply"):
            continue
        if len({n.result.shape for n in nodes}) > 1 or np.prod(case.shape) >= node.result.size:
            continue
        if len(nodes) * node.result.size > MAX_SIZE:
            continue
        gradient = sum(gradient_of_result(graph, n) * (n.operands[1 - j] if n.name == "multiply" else 1) for n in nodes)
        if node.name == "subtract" and j == 1:
            gradient = -gradient
        for axes in axis_sets(gradient.ndim):
            summed = gradient.sum(axis=axes)
            if summed.size != given.size or given.size >= gradient.size:
                continue
            if np.abs(summed.ravel() - given.ravel()).max() <= 1e-5 * np.abs(given).max():
                where = "all axes" if len(axes) == gradient.ndim else axes_in_words(axes)
                evidence = f"in the backward of `{node.expression}`, the gradient of {case.name} is summed over {where}"
                case.add(0.65, "summed over the wrong axis", evidence, node.place)
                return


def missing_array_factors(cases: dict[str, Case], graph: ForwardGraph, tester: HypothesisTester) -> None:
    """Test whether backward returned the true gradient, multiplied or divided by an array of forward."""
    for name in tester.wrong:
        case = cases[name]
        if case.found or tester.elements[name] < 4:
            continue
        for values, factor in graph.arrays.get(1, {}).values():
            a = np.asarray(values[0])
            if a.size < 2 or not a.all() or not fits_into(a.shape, case.shape):
                continue
            multiplied = f"given = true / `{factor}`: backward does not multiply by `{factor}`"
            case.test_undone(case.given * a, 2.5, "a factor missing", multiplied)
            if any(n.name == "divide" and content_key(n.operands[1]) == content_key(values[0]) for n in graph.nodes):
                divided = f"given = true * `{factor}`: backward does not divide by `{factor}`"
                case.test_undone(case.given / a, 2.5, "a factor missing", divided)
            else:
                extra = f"given = true * `{factor}`: the factor `{factor}` does not belong in this gradient"
                case.test_undone(case.given / a, 2.6, "a factor too many", extra)


def mistakes_in_one_use(cases: dict[str, Case], graph: ForwardGraph, tester: HypothesisTester) -> None:
    """For an array that occurs several times in forward, test the part of its gradient that comes from each occurrence.

    One of these parts may be transposed, reversed or shifted.
    """
    for name in tester.wrong:
        uses = [(nodes, j) for nodes, j, only in graph.edges() if only == name]
        case = cases[name]
        if case.found or len(uses) < 2 or case.true.size > MAX_SIZE or not np.isfinite(case.true).all():
            continue
        for nodes, j in uses:
            if tester.budget_spent:
                return
            without = tester.gradient({n.number: change_path(j, lambda d: 0 * d) for n in nodes}, name)
            if without is None:
                continue
            entry = replace(case.entry, analytic=case.given - without, numeric=case.true - without)
            one_use = Case(entry, graph.projection)
            reordered_axes(one_use)
            for rank, d in one_use.found:
                evidence = f"in the part of the gradient that comes through {graph.describe(nodes, j)}, {d.evidence}"
                case.add(rank + 1, d.mistake, evidence, nodes[0].place, d.misfit)
