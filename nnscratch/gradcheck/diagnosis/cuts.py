"""Paths that are cut, turned or counted twice; rounds of a loop that are left out.

a path missing                       an operand's movement is not passed on
the state's own path missing         ... where the operand comes from the round before
bias's share missing                 ... where it is a bias
only the last time step counted      ... in all rounds but the last
rows met twice counted once          ... for elements that a later window shows again
upstream gradient missing            a result counts by 1, whatever comes after it
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np

from ..tape import Node, detached, gain
from ..tree import leaves, transform
from .forward import Forward
from .slopes import Hypothesis


def cuts(forward: Forward) -> Iterator[Hypothesis]:
    """Nothing passes along one edge; or it does only in some rounds of the loop."""
    for nodes, j, only in forward.edges():
        place, words = nodes[0].place, forward.words(nodes, j)
        cut = {n.number: gain(j, lambda d: 0 * d) for n in nodes}
        state, bias = forward.is_state(nodes, j), forward.is_bias(nodes, j)
        mistake, rank = ("the state's own path missing", 3.0) if state else ("a path missing", 3.4)
        rank -= 1e-5 * nodes[0].number  # of a chain of operations, name the last: there the path joins the others
        if bias:
            mistake, rank = "bias's share missing", 2.9
        yield Hypothesis(rank, mistake, f"given as if nothing passed through {words}", place, cut, only)
        if state:
            yield from cut_beside_an_output(forward, nodes, j, cut)
        if len(nodes) > 1:
            yield from some_rounds(forward, nodes, j, only, state)
            if only is None:
                for c, name in ((-1, "sign flipped"), (2, "counted twice"), (0.5, "scaled by a constant")):
                    scaled = {n.number: gain(j, lambda d, c=c: c * d) for n in nodes}
                    says = f"given as if what passes through {words} counted {c} times, in every round"
                    yield Hypothesis({-1: 1.06, 2: 2.6, 0.5: 6.3}[c], name, says, place, scaled, only)


def cut_beside_an_output(forward: Forward, nodes: list[Node], j: int, cut: dict) -> Iterator[Hypothesis]:
    """Nothing passes from round to round, and the gradient of an output (the last state) is not taken in either."""
    names = [name for name, w in leaves("output", forward.objective.weights) if w is not None]
    later = {k: v for k, v in cut.items() if k != nodes[0].number}
    turned = {n.number: gain(j, np.negative) for n in nodes}
    later_turned = {k: v for k, v in turned.items() if k != nodes[0].number}
    for name in names if len(names) > 1 else ():
        weights = weighted(forward.objective.weights, name, 0)
        says = f"given as if nothing passed through {forward.words(nodes, j)}, and {name}'s gradient were not taken in"
        for changes in (cut, later):
            yield Hypothesis(3.05, "the state's own path missing", says, nodes[0].place, changes, None, weights)
        weights = weighted(forward.objective.weights, name, -1)
        says = f"given as if what passes through {forward.words(nodes, j)} counted -1 times, and {name}'s gradient too"
        for changes in (turned, later_turned):
            yield Hypothesis(1.07, "sign flipped", says, nodes[0].place, changes, None, weights)


def some_rounds(forward: Forward, nodes: list[Node], j: int, only: str | None, state: bool) -> Iterator[Hypothesis]:
    words, place = forward.words(nodes, j), nodes[0].place
    cut = {n.number: gain(j, lambda d: 0 * d) for n in nodes}
    first, last = nodes[0].number, nodes[-1].number
    noun = "time step" if forward.is_time(len(nodes)) else "round of the loop"
    if state:
        rest = {k: v for k, v in cut.items() if k != first}
        says = f"given as if nothing passed from one round to the next through {words}"
        yield Hypothesis(2.95, "the state's own path missing", says, place, rest, only)
    for kept, word in ((last, "last"), (first, "first")):
        rest = {k: v for k, v in cut.items() if k != kept}
        says = f"given as if {words} counted in the {word} of {len(nodes)} rounds only"
        yield Hypothesis(3.2, f"only the {word} {noun} counted", says, place, rest, only)
        if len(nodes) > 2:
            says = f"given as if {words} counted in all of {len(nodes)} rounds but the {word}"
            yield Hypothesis(3.3, f"the {word} {noun} not counted", says, place, {kept: cut[kept]}, only)


def overlaps(forward: Forward) -> Iterator[Hypothesis]:
    """Windows over an array that overlap: an element counted in its last window only, or in its first."""
    for nodes, j, only in forward.edges():
        if only is None or len(nodes) < 2 or any(n.covers[j] is None for n in nodes):
            continue
        for order, word in ((nodes, "last"), (nodes[::-1], "first")):
            owner = np.full(forward.objective.variables[only].size, -1)
            for n in order:
                owner[n.covers[j]] = n.number
            once = {n.number: gain(j, partial(np.multiply, owner[n.covers[j]] == n.number)) for n in nodes}
            says = f"given as if every element of {only} counted in the {word} `{nodes[0].words[j]}` it is in"
            yield Hypothesis(3.15, "rows met twice counted once", says, nodes[0].place, once, only)


def rounds(forward: Forward) -> Iterator[Hypothesis]:
    """All of the first, or the last, round left out."""
    counts = {len(nodes) for nodes in forward.families.values()}
    for count in counts - {1, 2}:
        of_loop = [n for nodes in forward.families.values() if len(nodes) == count for n in nodes]
        noun = "time step" if forward.is_time(count) else "round of the loop"
        for r, word in ((0, "first"), (count - 1, "last")):
            cut = {n.number: gain(-1, lambda d: 0 * d) for n in of_loop if n.round == r}
            says = f"given as if nothing passed through the {word} of {count} rounds"
            yield Hypothesis(3.25, f"the {word} {noun} not counted", says, of_loop[0].place, cut)


def two_cuts(forward: Forward) -> Iterator[Hypothesis]:
    """Two statistics of an array (a mean and a deviation) both taken as fixed."""
    small = [
        (nodes[0], j)
        for nodes, j, only in forward.edges()
        if len(nodes) == 1 and j >= 0 and only is None and np.size(nodes[0].operands[j]) < nodes[0].result.size
    ]
    for (a, i), (b, j) in combinations(small[:16], 2):
        if a is b:
            continue
        cut = {a.number: gain(i, lambda d: 0 * d), b.number: gain(j, lambda d: 0 * d)}
        says = f"given as if nothing passed through `{a.words[i]}` ({a.place}) nor through `{b.words[j]}`"
        yield Hypothesis(3.5, "a path missing", says, b.place, cut)


def upstream(forward: Forward) -> Iterator[Hypothesis]:
    """The gradient that comes in is not used: every element counts by 1."""
    mistake = "upstream gradient missing"
    ones = transform(lambda w: None if w is None else np.ones_like(w), forward.objective.weights)
    if any(w is not None and np.any(w != 1) for _, w in leaves("", forward.objective.weights)):
        yield Hypothesis(1.4, mistake, "given as if dy were 1 everywhere", "", {}, None, ones)
    for nodes in forward.families.values():
        if len(nodes) == 1 and any(nodes[0].live) and nodes[0].result.size > 1:
            says = f"given as if the gradient that comes to {forward.words(nodes, -1)} were 1 everywhere"
            yield Hypothesis(6.5, mistake, says, nodes[0].place, {nodes[0].number: detached(forward.tape)})


def single_edges(forward: Forward) -> Iterator[tuple[dict, str | None, str, str]]:
    """(cut, variable, place, words) for the paths that meet no second time."""
    for nodes, j, only in forward.edges():
        if len(nodes) == 1 or only is not None:
            cut = {n.number: gain(j, lambda d: 0 * d) for n in nodes}
            yield cut, only, nodes[0].place, forward.words(nodes, j)


def weighted(weights: Any, name: str, c: float, own: str = "output") -> Any:
    """`weights` with those of the output called `name` multiplied by c."""
    if isinstance(weights, (tuple, list)):
        return tuple(weighted(w, name, c, f"{own}[{i}]") for i, w in enumerate(weights))
    if isinstance(weights, dict):
        return {k: weighted(w, name, c, f"{own}[{k!r}]") for k, w in weights.items()}
    return c * weights if own == name and weights is not None else weights
