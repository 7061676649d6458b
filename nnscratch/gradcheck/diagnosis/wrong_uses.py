"""Find occurrences of an array in forward whose gradient backward leaves out, adds twice, or subtracts.

If forward uses an array w as an operand several times, each of these operands is an occurrence of w. For example,
x @ w + h @ w contains two occurrences of w. The gradient of w is a sum with one part for each occurrence. A wrong
backward may compute only the part that comes from x @ w. Let f be the weighted sum of the outputs (projection.py). This
file measures each part's contribution to the derivative of f along three directions. After that, it needs no more
forward passes to test whether backward leaves out a part, counts it twice or flips its sign.

In the arguments of the functions, an occurrence is a pair (nodes, j): `nodes` are the executions of one operation in
all iterations of a loop, and `j` is the index of the operand. In a report, an iteration is called a round.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np

from ..tape import Node, change_path
from .case import Case
from .forward_graph import ForwardGraph
from .hypotheses import HypothesisTester

MAX_USES, MAX_ROUNDS = 5, 10
RANK = 3.3  # the rank of every mistake that this file finds
Use = tuple[list[Node], int]


def wrong_uses(cases: dict[str, Case], graph: ForwardGraph, tester: HypothesisTester) -> None:
    """Test whether backward leaves out, repeats or negates the gradients of some occurrences of an array."""
    for name in tester.wrong:
        case = cases[name]
        if case.found or tester.elements[name] < 2:
            continue
        uses = [(nodes, j) for nodes, j, only in graph.single_edges() if only == name]
        if 2 <= len(uses) <= MAX_USES:
            parts = [measure_use(tester, name, cut(nodes, j)) for nodes, j in uses]
            counts = fitting_counts(tester, name, parts, (1, 0, 2, -1))
            if counts is not None:
                add_uses(case, graph, uses, counts)
                misplaced(cases, graph, tester, name, [use for use, c in zip(uses, counts, strict=True) if c == 0])
        if not case.found:
            for nodes, j in uses:
                rounds_of_use(case, graph, tester, nodes, j)


def cut(nodes: list[Node], j: int) -> dict:
    """Return changes of forward with which no gradient passes through operand `j` of the operations `nodes`."""
    return {n.number: change_path(j, lambda d: 0 * d) for n in nodes}


def measure_use(tester: HypothesisTester, name: str, changes: dict) -> np.ndarray:
    """Measure how much one occurrence of `name` contributes to the derivative of the weighted sum of the outputs.

    The result contains the contribution along each direction. It is the true derivative minus the derivative of a
    forward with `changes`, which let no gradient pass through this occurrence of the array `name`.
    """
    return np.array([d.true - tester.slope(changes, d) for d in tester.alone[name]])


def fitting_counts(
    tester: HypothesisTester, name: str, parts: list[np.ndarray], choices: tuple[int, ...]
) -> tuple[int, ...] | None:
    """Return how often backward counts each use of the array `name` in forward.

    The count is 1 if backward is right, 0 if it leaves out the gradient of this use, 2 if it adds the gradient twice,
    and -1 if it uses the wrong sign. `choices` are the counts to try. `parts` contains the result of `measure_use` for
    each use. If several combinations of counts fit, return a combination with the fewest wrong counts. Return None if
    no combination fits.
    """
    rest = np.array([d.true for d in tester.alone[name]]) - sum(parts)
    fitting = []
    for counts in product(choices, repeat=len(parts)):
        slopes = rest + sum(c * part for c, part in zip(counts, parts, strict=True))
        if all(d.matches(s) for d, s in zip(tester.alone[name], slopes, strict=True)):
            fitting.append(counts)
    return min(fitting, key=lambda counts: sum(c != 1 for c in counts), default=None)


def add_uses(case: Case, graph: ForwardGraph, uses: list[Use], counts: tuple[int, ...]) -> None:
    """Add the mistake to `case`. `counts` contains the count of each occurrence in `uses`: see `fitting_counts`."""
    wrong = [(use, c) for use, c in zip(uses, counts, strict=True) if c != 1]
    places = [f"`{nodes[0].place.split(': ', 1)[-1]}`" for (nodes, _), _ in wrong]
    values = {c for _, c in wrong}
    place = wrong[0][0][0][0].place
    if values == {0}:
        bias = all(graph.is_bias(nodes, j) for (nodes, j), _ in wrong)
        mistake = "bias's share missing" if bias else "a path missing"
        evidence = f"backward computes as if {case.name} were not used in {' and '.join(places)}"
        case.add(RANK, mistake, evidence, place)
    else:
        mistake = {frozenset({2}): "counted twice", frozenset({-1}): "sign flipped"}.get(frozenset(values))
        words = {0: "is left out", 2: "is counted twice", -1: "has the wrong sign"}
        parts = []
        for c in dict.fromkeys(c for _, c in wrong):
            paths = [f"through {where}" for (_, count), where in zip(wrong, places, strict=True) if count == c]
            parts.append(f"{' and '.join(paths)} {words[c]}")
        evidence = f"the gradient of {case.name} {', and '.join(parts)}"
        case.add(RANK, mistake or "a path missing", evidence, place)


def misplaced(
    cases: dict[str, Case], graph: ForwardGraph, tester: HypothesisTester, name: str, uses: list[Use]
) -> None:
    """Test whether backward adds a part of the gradient of the array `name` to the gradient of another array.

    `uses` are the occurrences of `name` that backward leaves out of the gradient of `name`.
    """
    for other in tester.wrong:
        if cases[other].found or cases[other].shape != cases[name].shape:
            continue
        for nodes, j in uses:
            directions = [replace(d, v={name: d.v[other]}) for d in tester.alone[other]]
            parts = [tester.slope({}, d) - tester.slope(cut(nodes, j), d) for d in directions]
            if all(d.matches(d.true + part) for d, part in zip(directions, parts, strict=True)):
                bias = graph.is_bias(nodes, j)
                use = nodes[0].expression
                evidence = f"backward computes as if `{use}` used {other}, but forward uses {name} there"
                cases[other].add(RANK, "bias's share missing" if bias else "a path missing", evidence, nodes[0].place)


def rounds_of_use(case: Case, graph: ForwardGraph, tester: HypothesisTester, nodes: list[Node], j: int) -> None:
    """Test whether backward leaves out or repeats the gradient of one occurrence in some iterations of a loop."""
    count = len(nodes)
    if not 3 <= count <= MAX_ROUNDS or tester.elements[case.name] < 3:
        return
    parts = [measure_use(tester, case.name, cut([node], j)) for node in nodes]
    counts = fitting_counts(tester, case.name, parts, (1, 0))
    noun = "time step" if graph.is_time_loop(count) else "round of the loop"
    path = graph.describe(nodes, j)
    if counts is not None:
        kept = [r for r, c in enumerate(counts) if c]
        if kept == list(range(len(kept))):
            mistake = f"the last {noun} not counted"
        elif kept == list(range(count - len(kept), count)):
            mistake = f"the first {noun} not counted"
        else:
            mistake = f"a {noun} not counted"
        evidence = f"backward counts {path} only in round {', '.join(map(str, kept))} (of the rounds 0 to {count - 1})"
        case.add(RANK, mistake, evidence, nodes[0].place)
        return
    rest = np.array([d.true for d in tester.alone[case.name]]) - sum(parts)
    for weights, text in (
        ([count - r for r in range(count)], "each round's contribution is added again in every earlier round"),
        ([r + 1 for r in range(count)], "each round's contribution is added again in every later round"),
    ):
        slopes = rest + sum(w * part for w, part in zip(weights, parts, strict=True))
        if all(d.matches(s) for d, s in zip(tester.alone[case.name], slopes, strict=True)):
            case.add(RANK, "accumulator not reset", f"in the gradient through {path}, {text}", nodes[0].place)
