"""Hypotheses: backward leaves out a gradient, counts it twice, or flips its sign.

    a path missing                     backward computes as if a result did not depend on one of its operands
    the state's own path missing       the same, for an operand that comes from the previous iteration of a loop
    bias's share missing               the same, for an operand that is a bias
    only the last time step counted    the same, in all iterations of a loop except the last
    upstream gradient missing          backward uses 1 as the gradient of a result or an output

For example, forward computes ``h = np.tanh(x[t] @ Wx + h @ Wh)`` in a loop, and a student forgets ``dh = dz @ Wh.T``.
To test this, forward is changed so that no gradient passes through the h in ``h @ Wh``.

An edge is an operand or the result of an operation. In the arguments of the functions, `nodes` are the executions of
one operation in all iterations of a loop, and `j` is the index of the operand, or -1 for the result. To cut an edge
means to change forward so that the gradient along this edge is zero. In a report, an iteration is called a round.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np

from ..nested import is_array, leaves, map_leaves
from ..tape import Node, change_path, replace_upstream_by_ones
from .forward_graph import ForwardGraph, content_key
from .hypotheses import Hypothesis
from .reordered_axes import axes_in_words

MAX_ROUNDS = 12  # a hypothesis leaves out at most MAX_ROUNDS - 1 iterations


def cut_paths(graph: ForwardGraph) -> Iterator[Hypothesis]:
    """Yield hypotheses in which backward leaves out the gradient of one operand or result in some or all iterations."""
    for nodes, j, only in graph.single_edges():
        place, path = nodes[0].place, graph.describe(nodes, j)
        cut = {n.number: change_path(j, lambda d: 0 * d) for n in nodes}
        state, bias = graph.is_state(nodes, j), graph.is_bias(nodes, j)
        mistake, rank = ("the state's own path missing", 3.0) if state else ("a path missing", 3.4)
        # In a chain of operations, a missing gradient has the same effect at each operation. Prefer the last operation.
        rank -= 1e-5 * nodes[0].number
        if bias:
            mistake, rank = "bias's share missing", 2.9
        yield Hypothesis(rank, mistake, f"backward computes as if no gradient passed through {path}", place, cut, only)
        if state:
            yield from cut_state_and_output(graph, nodes, j, cut)
        if len(nodes) > 1:
            yield from cut_some_rounds(graph, nodes, j, only, state)
            if only is None:
                for c, name, words in (
                    (-1, "sign flipped", "has the wrong sign"),
                    (2, "counted twice", "is counted twice"),
                    (0.5, "scaled by a constant", "is multiplied by 0.5"),
                ):
                    scaled = {n.number: change_path(j, lambda d, c=c: c * d) for n in nodes}
                    evidence = f"the gradient through {path} {words}, in every round"
                    yield Hypothesis({-1: 1.06, 2: 2.6, 0.5: 6.3}[c], name, evidence, place, scaled, only)


def cut_state_and_output(graph: ForwardGraph, nodes: list[Node], j: int, cut: dict) -> Iterator[Hypothesis]:
    """Yield hypotheses in which backward ignores two gradients, or flips the sign of both.

    The first gradient is that of a state, and comes from the next iteration. The second gradient is that of an output,
    which is usually the last state. The state is operand `j` of the operations `nodes`. `cut` are the changes of
    forward that make the gradient of the state zero.
    """
    path = graph.describe(nodes, j)
    outputs = dict(leaves("output", graph.projection.outputs))
    names = [name for name, w in leaves("output", graph.projection.weights) if w is not None]
    turned = {n.number: change_path(j, np.negative) for n in nodes}
    for name in names if len(names) > 1 else ():
        none = scale_output_weights(graph.projection.weights, name, 0)
        opposite = scale_output_weights(graph.projection.weights, name, -1)
        for first in (0, 1):  # change the gradient of the state in all iterations, or in all except the first
            numbers = [n.number for n in nodes[first:]]
            missing, flipped, place = f"ignores the gradient of {name}", f"of the gradient of {name}", nodes[0].place
            if numbers:
                passed = "passed" if first == 0 else "came back from round to round"
                missing = f"computes as if no gradient {passed} through {path}, and {missing}"
                flipped = f"of the gradient through {path}, and {flipped}"
            else:  # a loop with one iteration: only the gradient of the output is wrong
                made = graph.producers.get(content_key(outputs[name]), [])
                place = made[-1].place if made else ""
            for evidence, rank, mistake, all_changes, weights in (
                (f"backward {missing}", 3.05, "the state's own path missing", cut, none),
                (f"backward flips the sign {flipped}", 1.07, "sign flipped", turned, opposite),
            ):
                changes = {k: all_changes[k] for k in numbers}
                yield Hypothesis(rank, mistake, evidence, place, changes, None, weights)


def cut_some_rounds(
    graph: ForwardGraph, nodes: list[Node], j: int, only: str | None, state: bool
) -> Iterator[Hypothesis]:
    """Yield hypotheses in which backward uses the gradient of an operand only in some iterations of a loop.

    The hypotheses differ in these iterations: only the first, only the last, all except the first, or all except the
    last. The operand is operand `j` of the operations `nodes`. `state` is True if the operand comes from an earlier
    iteration.
    """
    path, place = graph.describe(nodes, j), nodes[0].place
    cut = {n.number: change_path(j, lambda d: 0 * d) for n in nodes}
    first, last = nodes[0].number, nodes[-1].number
    noun = "time step" if graph.is_time_loop(len(nodes)) else "round of the loop"
    if state:
        rest = {k: v for k, v in cut.items() if k != first}
        evidence = f"backward computes as if no gradient passed from round to round through {path}"
        yield Hypothesis(2.95, "the state's own path missing", evidence, place, rest, only)
    for kept, word in ((last, "last"), (first, "first")):
        rest = {k: v for k, v in cut.items() if k != kept}
        evidence = f"backward computes as if {path} were used only in the {word} of {len(nodes)} rounds"
        yield Hypothesis(3.2, f"only the {word} {noun} counted", evidence, place, rest, only)
        if len(nodes) > 2:
            evidence = f"backward computes as if {path} were used in all {len(nodes)} rounds except the {word}"
            yield Hypothesis(3.3, f"the {word} {noun} not counted", evidence, place, {kept: cut[kept]}, only)


def skipped_rounds(graph: ForwardGraph) -> Iterator[Hypothesis]:
    """Yield hypotheses in which backward leaves out the first or the last iterations of a loop."""
    counts = {len(nodes) for nodes in graph.families.values()}
    for count in counts - {1}:
        of_loop = [n for nodes in graph.families.values() if len(nodes) == count for n in nodes]
        noun = "time step" if graph.is_time_loop(count) else "round of the loop"
        for k in range(1, min(count, MAX_ROUNDS)):
            for word, other in (("first", "last"), ("last", "first")):
                skipped = range(k) if word == "first" else range(count - k, count)
                cut = {n.number: change_path(-1, lambda d: 0 * d) for n in of_loop if n.round in skipped}
                which = word if k == 1 else f"{word} {k}"
                evidence = f"backward computes as if no gradient passed through the {which} of {count} rounds"
                name = f"only the {other} {noun} counted" if k == count - 1 else f"the {word} {noun} not counted"
                yield Hypothesis(3.25 + 0.01 * k, name, evidence, of_loop[0].place, cut)


def two_cut_paths(graph: ForwardGraph) -> Iterator[Hypothesis]:
    """Yield hypotheses in which backward treats two statistics as constants, such as a mean and a deviation.

    For example, a student of batch normalisation writes ``dx = dxhat / std``, as if mean and std did not depend on x.
    """
    small = [
        (nodes[0], j)
        for nodes, j, only in graph.edges(every=True)
        if len(nodes) == 1 and j >= 0 and only is None and np.size(nodes[0].operands[j]) < nodes[0].result.size
    ]
    for (a, i), (b, j) in combinations(small[:16], 2):
        if a is b:
            continue
        cut = {a.number: change_path(i, lambda d: 0 * d), b.number: change_path(j, lambda d: 0 * d)}
        paths = f"`{b.operand_names[j]}` or through `{a.operand_names[i]}` ({a.place})"
        evidence = f"backward computes as if no gradient passed through {paths}"
        yield Hypothesis(3.5, "a path missing", evidence, b.place, cut)


def upstream_missing(graph: ForwardGraph) -> Iterator[Hypothesis]:
    """Yield hypotheses in which backward uses 1 as the gradient of an output or of a result inside forward."""
    mistake = "upstream gradient missing"
    ones = map_leaves(lambda w: None if w is None else np.ones_like(w), graph.projection.weights)
    if any(w is not None and np.any(w != 1) for _, w in leaves("", graph.projection.weights)):
        yield Hypothesis(1.4, mistake, "backward computes as if dy were 1 everywhere", "", {}, None, ones)
    yield from upstream_transposed(graph)
    for nodes in graph.families.values():
        whole = nodes[0].result.size > 1 or all(v.ndim == 0 for v in graph.projection.variables.values())
        if len(nodes) == 1 and any(nodes[0].active) and whole:
            result = graph.describe(nodes, -1)
            evidence = f"backward computes as if the incoming gradient of {result} were 1 everywhere"
            changes = {nodes[0].number: replace_upstream_by_ones(graph.tape)}
            yield Hypothesis(6.5, mistake, evidence, nodes[0].place, changes)


def upstream_transposed(graph: ForwardGraph) -> Iterator[Hypothesis]:
    """Yield hypotheses in which backward exchanges two axes of dy, such as ``dout[:, :, j, i]`` for a pooling layer."""
    outputs = list(leaves("output", graph.projection.weights))
    for name, w in outputs:
        for axes in combinations(range(np.ndim(w)), 2) if is_array(w) else ():
            if w.shape[axes[0]] == w.shape[axes[1]] > 1:
                weights = map_leaves(
                    lambda v, w=w, a=axes: np.swapaxes(v, *a) if v is w else v, graph.projection.weights
                )
                of = f" of {name}" if len(outputs) > 1 else ""
                evidence = f"backward computes as if {axes_in_words(axes)} of dy{of} were exchanged"
                yield Hypothesis(2.0, "transposed", evidence, "", {}, None, weights)


def single_paths(graph: ForwardGraph) -> Iterator[tuple[dict, str | None, Node, str]]:
    """Yield (cut, variable, operation, description) for each operand or result that a gradient passes once.

    `cut` are the changes of forward that make the gradient of the operand or result zero. In a loop, yield only
    operands that are differentiated arrays, because a gradient may pass through other operands, such as a state,
    several times.
    """
    for nodes, j, only in graph.single_edges():
        if len(nodes) == 1 or only is not None:
            cut = {n.number: change_path(j, lambda d: 0 * d) for n in nodes}
            yield cut, only, nodes[0], graph.describe(nodes, j)


def scale_output_weights(weights: Any, name: str, c: float, own: str = "output") -> Any:
    """Return a copy of `weights` in which the weights of the output `name` are multiplied by `c`."""
    if isinstance(weights, (tuple, list)):
        return tuple(scale_output_weights(w, name, c, f"{own}[{i}]") for i, w in enumerate(weights))
    if isinstance(weights, dict):
        return {k: scale_output_weights(w, name, c, f"{own}[{k!r}]") for k, w in weights.items()}
    return c * weights if own == name and weights is not None else weights
