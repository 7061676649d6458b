"""Hypotheses: a result inside forward is a softmax or a log-softmax, and backward uses a wrong Jacobian for it.

For example, a student of y = softmax(x) writes ``dx = y * (1 - y) * dy``, where ``y * (dy - (y * dy).sum())`` is right.
To test this, forward is changed: its softmax gets the derivative that belongs to the wrong formula. If the gradients of
the changed forward equal the gradients from backward, the mistake is found.

The increment of an operand or a result is the array minus its value in the first forward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from ..tape import Node, change_path
from .forward_graph import ForwardGraph
from .hypotheses import Hypothesis
from .wrong_slopes import with_slope

DIAGONAL, WRONG_AXIS, FACTOR = "Jacobian reduced to its diagonal", "summed over the wrong axis", "a factor missing"

OFF_DIAGONAL = "y (dy (1 - 2 y) + sum(dy y)), with y_i y_j instead of -y_i y_j off the diagonal of the Jacobian"
RIGHT = {"softmax": "y (dy - sum(dy y))", "log-softmax": "dy - p sum(dy)"}

# Each entry contains the rank, the mistake, the formula of the wrong backward, and a function. If x changes
# by d, the function returns the change of y in a changed forward. The gradient of this changed forward is the gradient
# that the wrong backward returns. `sums` is a function that sums over the axis of the softmax.
SOFTMAX = [
    (1.0, DIAGONAL, "dy y (1 - y)", lambda y, d, sums: y * (1 - y) * d),
    (1.5, DIAGONAL, "dy y", lambda y, d, sums: y * d),
    (1.55, DIAGONAL, "-dy y^2, the formula of the terms off the diagonal", lambda y, d, sums: -(y**2) * d),
    (1.6, "Jacobian missing", "dy", lambda y, d, sums: d),
    (1.7, FACTOR, "dy - sum(dy y)", lambda y, d, sums: d - y * sums(d)),
    (1.7, FACTOR, "y (dy - sum(dy))", lambda y, d, sums: y * d - sums(y * d)),
    (1.7, FACTOR, "dy - y sum(dy y)", lambda y, d, sums: d - y * sums(y * d)),
    (1.7, "sign flipped", "y (dy + sum(dy y))", lambda y, d, sums: y * d + y * sums(y * d)),
    (1.7, "sign flipped", OFF_DIAGONAL, lambda y, d, sums: y * (1 - 2 * y) * d + y * sums(y * d)),
    (1.7, WRONG_AXIS, "y (dy - sum(dy y) over all axes)", lambda y, d, sums: y * d - y * (y * d).sum()),
]
LOG_SOFTMAX = [
    (1.0, DIAGONAL, "dy (1 - p)", lambda p, d, sums: (1 - p) * d),
    (1.6, "Jacobian missing", "dy", lambda p, d, sums: d),
    (1.7, FACTOR, "dy - sum(dy)", lambda p, d, sums: d - sums(d)),
    (1.7, FACTOR, "dy - sum(dy) / the number of classes", lambda p, d, sums: d - sums(d) / sums(0 * d + 1)),
    (1.7, "sign flipped", "dy + p sum(dy)", lambda p, d, sums: d + sums(p * d)),
    (1.7, WRONG_AXIS, "dy - p sum(dy) over all axes", lambda p, d, sums: d - (p * d).sum()),
    (1.72, "the wrong array used", "dy - sum(dy p)", lambda p, d, sums: d - p * sums(d)),
]


def softmax_jacobians(graph: ForwardGraph) -> Iterator[Hypothesis]:
    """Yield hypotheses about each result that is the softmax, or the logarithm of the softmax, of an earlier array."""
    for nodes in graph.families.values():
        y = nodes[0].result
        for axis in reversed([axis for axis, n in enumerate(y.shape) if n > 1]):
            if (y >= 0).all() and np.allclose(y.sum(axis=axis), 1):  # in masked attention, some elements are 0
                yield from wrong_jacobians(graph, nodes, axis, softmax, SOFTMAX, "softmax")
            elif (y <= 0).all() and np.allclose(np.exp(y).sum(axis=axis), 1):
                yield from wrong_jacobians(graph, nodes, axis, log_softmax, LOG_SOFTMAX, "log-softmax")


def wrong_jacobians(
    graph: ForwardGraph, nodes: list[Node], axis: int, function: Callable, jacobians: list, name: str
) -> Iterator[Hypothesis]:
    """Yield hypotheses about one result inside forward, if it is `function` of an earlier array along `axis`.

    `function` is softmax or log-softmax, and `jacobians` is the list SOFTMAX or LOG_SOFTMAX.
    """
    shape, place = nodes[0].result.shape, nodes[0].place
    for sources, j, _ in graph.edges():
        if j < 0 or len(sources) != len(nodes) or sources[0].number > nodes[0].number:
            continue
        u = sources[0].operands[j]
        if np.shape(u) != shape or not np.allclose(function(u, axis), nodes[0].result):
            continue

        def sums(d: Any, axis: int = axis) -> Any:
            return d.sum(axis=axis, keepdims=True)

        def with_increment(formula: Callable, sources: list[Node] = sources, j: int = j) -> dict:
            changes = {}
            for s, n in zip(sources, nodes, strict=True):
                p = n.result if function is softmax else np.exp(n.result)
                changes |= with_slope(graph, (s.number, j), n.number, partial(formula, p))
            return changes

        needs = f"{name} needs {RIGHT[name]}" + (" (p = exp(y))" if function is log_softmax else "")
        for rank, mistake, formula, increment in jacobians:
            changes = with_increment(lambda p, d, m=increment, s=sums: m(p, d, s))
            yield Hypothesis(rank, mistake, f"backward computes {formula}, but {needs}", place, changes)
        for other in range(len(shape)):
            if other != axis and shape[other] > 1:
                changes = with_increment(partial(over_axis, function, other))
                formula = RIGHT[name].replace(")", f", axis {other})", 1)
                evidence = f"backward computes {formula}, but {needs}, with the sum over axis {axis}"
                yield Hypothesis(1.7, WRONG_AXIS, evidence, place, changes)
        if function is softmax:
            twice = {}
            for s, n in zip(sources, nodes, strict=True):
                twice[s.number] = change_path(j, partial(lambda y, d: y * (1 - y) * d, n.result))
            again = {}
            for s, n in zip(sources, nodes, strict=True):
                again[s.number] = change_path(j, partial(lambda y, d: y * d - y * sums(y * d), n.result))
            evidence = "backward multiplies the gradient of softmax's input by softmax's Jacobian once more"
            yield Hypothesis(1.74, "activation's derivative applied twice", evidence, place, again)
            evidence = "the gradient of softmax's input has the extra factor y (1 - y)"
            yield Hypothesis(1.75, "activation's derivative applied twice", evidence, place, twice)
        return


def over_axis(function: Callable, axis: int, y: Any, d: Any) -> Any:
    """Return the wrong increase of a softmax or log-softmax if its input increases by `d`.

    The right increase contains a sum over the axis of the softmax. Here, the sum is over the wrong axis `axis`. The
    argument `y` is the softmax.
    """
    total = (y * d).sum(axis=axis, keepdims=True)
    return y * (d - total) if function is softmax else d - total


def softmax(x: Any, axis: int) -> Any:
    """Return the softmax over an axis."""
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def log_softmax(x: Any, axis: int) -> Any:
    """Return the logarithm of the softmax over an axis."""
    return np.log(softmax(x, axis))
