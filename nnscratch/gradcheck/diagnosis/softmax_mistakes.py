"""Hypotheses: a result inside forward is a softmax, and backward uses another Jacobian."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from .forward_graph import ForwardGraph
from .hypotheses import Hypothesis
from .wrong_slopes import with_slope

# Rank, mistake, the formula of backward, and the movement of y for a movement d of x that has this backward.
JACOBIANS = [
    (1.0, "Jacobian reduced to its diagonal", "dy y (1 - y)", lambda y, d: y * (1 - y) * d),
    (1.5, "Jacobian reduced to its diagonal", "dy y", lambda y, d: y * d),
    (1.6, "Jacobian missing", "dy", lambda y, d: d),
    (1.7, "a factor missing", "dy - sum(dy y)", lambda y, d: d - y * row_sum(d)),
    (1.7, "a factor missing", "y (dy - sum(dy))", lambda y, d: y * d - row_sum(y * d)),
    (1.7, "sign flipped", "y (dy + sum(dy y))", lambda y, d: y * d + y * row_sum(y * d)),
    (1.7, "summed over the wrong axis", "y (dy - sum(dy y) over all)", lambda y, d: y * d - y * (y * d).sum()),
    (1.7, "summed over the wrong axis", "y (dy - sum(dy y, axis 0))", lambda y, d: y * d - y * (y * d).sum(axis=0)),
]


def softmax_jacobians(graph: ForwardGraph) -> Iterator[Hypothesis]:
    """Yield hypotheses about each result that is the softmax of an earlier array."""
    for nodes in graph.families.values():
        y = nodes[0].result
        if y.ndim == 0 or y.size < 2 or not (y > 0).all() or not np.allclose(y.sum(axis=-1), 1):
            continue
        for sources, j, _ in graph.edges():
            if j < 0 or len(sources) != len(nodes) or sources[0].number > nodes[0].number:
                continue
            u = sources[0].operands[j]
            if np.shape(u) != y.shape or not np.allclose(row_softmax(u), y):
                continue
            place = nodes[0].place
            for rank, mistake, formula, derivative in JACOBIANS:
                changes = {}
                for s, n in zip(sources, nodes, strict=True):
                    changes |= with_slope(graph, (s.number, j), n.number, partial(derivative, n.result))
                evidence = f"softmax's backward computes {formula}"
                yield Hypothesis(rank, mistake, evidence, place, changes)
            break


def row_sum(x: Any) -> Any:
    """Return the sums over the last axis, kept as an axis."""
    return x.sum(axis=-1, keepdims=True)


def row_softmax(x: Any) -> Any:
    """Return the softmax over the last axis."""
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)
