"""Hypotheses about a state that a loop passes from one iteration to the next.

    dh_next is never updated    no gradient passes from an iteration back to the previous iteration
    dh = dh + ...               the gradient of the state is never reset: it still contains terms of other iterations
    h[t] instead of h[t - 1]    a factor of a product is taken from a neighbouring iteration

To test such a mistake, forward is changed so that its gradients are those of a backward with the mistake: see
`running_sum`. If these gradients equal the gradients from backward, the mistake is found.

The increment of an operand or a result is the array minus its value in the first forward pass. If forward uses a state
as an operand several times, each of these operands is an occurrence of the state. In a report, an
iteration is called a round.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np

from ..tape import Node, change_path, increment
from .forward_graph import ForwardGraph, content_key
from .hypotheses import Hypothesis

MISSING, RUNNING = "the state's own path missing", "accumulator not reset"
Uses = list[tuple[list[Node], int]]  # for each occurrence: the operation in all iterations, and the operand's index


def state_mistakes(graph: ForwardGraph) -> Iterator[Hypothesis]:
    """Yield hypotheses about each state of a loop, and about each pair of states, such as h and c of an LSTM."""
    states = find_states(graph)
    for uses in states:
        name, place = graph.describe(*uses[0]), uses[0][0][0].place
        if len(uses) > 1:
            for later_only in (True, False):
                evidence = f"backward computes as if no gradient passed from round to round through {name}"
                yield Hypothesis(2.9, MISSING, evidence, place, cut_uses(uses, later_only))
        evidence = f"the gradient of {name} that goes to the previous round still contains the terms of later rounds"
        yield Hypothesis(2.7, RUNNING, evidence, place, running_sum(uses))
        yield Hypothesis(2.75, RUNNING, evidence, place, kept_sum(graph, uses))
    for a, b in combinations(states, 2):
        names, place = [graph.describe(*uses[0]) for uses in (a, b)], a[0][0][0].place
        evidence = "backward computes as if no gradient passed from round to round through "
        evidence += " or through ".join(names)
        for later_only in (True, False):
            yield Hypothesis(2.9, MISSING, evidence, place, together(cut_uses(a, later_only), cut_uses(b, later_only)))
        gradients = f"the gradients of {' and '.join(names)}"
        evidence = f"{gradients} that go to the previous round still contain the terms of later rounds"
        yield Hypothesis(2.72, RUNNING, evidence, place, together(running_sum(a), running_sum(b)))
        yield Hypothesis(2.77, RUNNING, evidence, place, together(kept_sum(graph, a), kept_sum(graph, b)))


def find_states(graph: ForwardGraph) -> list[Uses]:
    """Return the occurrences of each state: an array that one iteration computes and a later iteration reads."""
    states: dict[tuple, Uses] = {}
    for nodes, j, _ in graph.edges(every=True):
        if graph.is_state_of_loop(nodes, j):
            key = tuple(content_key(n.operands[j]) for n in nodes)
            states.setdefault(key, []).append((nodes, j))
    return list(states.values())


def cut_uses(uses: Uses, later_only: bool) -> dict[int, Callable]:
    """Return changes for all operations that read a state. With these changes, the gradients of the state are zero.

    The changes are for all iterations of the loop, or for all except the first if `later_only` is True.
    """
    cut: dict[int, list[int]] = {}
    for nodes, j in uses:
        for node in nodes[1:] if later_only else nodes:
            cut.setdefault(node.number, []).append(j)
    return {number: change_path(js[0], lambda d: 0 * d) for number, js in cut.items()}


def running_sum(uses: Uses) -> dict[int, Callable]:
    """Return the changes of forward for this mistake: backward never resets the gradient of a state.

    The true gradients of the changed forward are those that the wrong backward returns. The increment of a state
    is its value minus its value in the first forward pass. In every iteration, this increment is replaced by a sum: the
    increments in this iteration and in all earlier iterations.
    """
    carried: dict[int, Any] = {}

    def with_earlier(r: int, j: int) -> Callable:
        def changed(node: Node, operands: list[Any]) -> Any:
            moved = increment(operands[j], node.operands[j])
            carried[r] = moved + carried[r - 1] if r else moved
            return change_path(j, lambda d: carried[r])(node, operands)

        return changed

    return {node.number: with_earlier(r, j) for nodes, j in uses for r, node in enumerate(nodes)}


def kept_sum(graph: ForwardGraph, uses: Uses) -> dict[int, Callable]:
    """Return the changes of forward for this mistake: the loop of backward contains ``dh = dh + ...``.

    The true gradients of the changed forward are those that the wrong backward returns. With this mistake, the gradient
    of each state contains the gradient of the next state as an additional term. So in the changed forward, the
    increment of each state contains the increment of the previous state as an additional term. An increment is a value
    minus the value in the first forward pass.
    """
    (readers, j), moved = uses[0], {}
    makers = [graph.producer(later.operands[j], later.number) for later in readers[1:]]
    makers.append(next((n for n in graph.families[makers[-1].family] if n.number > readers[-1].number), None))
    changes: dict[int, Callable] = {}

    def reads(r: int) -> Callable:
        def changed(node: Node, operands: list[Any]) -> Any:
            moved[r] = increment(operands[j], node.operands[j])
            return node.compute(*operands)

        return changed

    def makes(r: int) -> Callable:
        def changed(node: Node, operands: list[Any]) -> Any:
            return node.compute(*operands) + moved[r]

        return changed

    for r, (reader, maker) in enumerate(zip(readers, makers, strict=True)):
        if maker is not None and reader.number < maker.number:
            changes |= {reader.number: reads(r), maker.number: makes(r)}
    return changes


def together(a: dict[int, Callable], b: dict[int, Callable]) -> dict[int, Callable]:
    """Combine the changes `a` and `b` of forward. If both change the same operation, apply both changes to it."""

    def composed(first: Callable, second: Callable) -> Callable:
        def changed(node: Node, operands: list[Any]) -> Any:
            return second(replace(node, compute=lambda *x: first(node, list(x))), operands)

        return changed

    return {**a, **b, **{number: composed(a[number], b[number]) for number in a.keys() & b.keys()}}


def neighbouring_rounds(values: list[Any], after: Any) -> Iterator[tuple[list[Any], str]]:
    """Yield (other values, description): the list `values`, shifted by one iteration of a loop or reversed.

    Parameters
    ----------
    values : list of array
        The values of an array, one for each iteration.
    after : array or None
        The value of the array after the last iteration, or None if the array is not a state of the loop.
    """
    last = values[-1] if after is None else after
    if len(values) < 2 or len({np.shape(v) for v in (*values, last)}) > 1:
        return
    zeros = np.zeros_like(last)
    earlier, later = "its value one round earlier", "its value one round later"
    yield values[1:] + [last], later
    yield [last] + values[:-1], f"{earlier} (in the first round, by its last value)"
    yield [values[0]] + values[:-1], f"{earlier} (in the first round, by its first value)"
    yield [zeros] + values[:-1], f"{earlier} (in the first round, by zeros)"
    yield [values[-1]] + values[:-1], f"{earlier} (in the first round, by its value in the last round)"
    yield values[1:] + [values[0]], f"{later} (in the last round, by its value in the first round)"
    yield values[1:] + [zeros], f"{later} (in the last round, by zeros)"
    if len(values) > 2:
        yield values[::-1], "its values in the reversed order of the rounds"
