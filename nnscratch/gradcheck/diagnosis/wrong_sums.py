"""Hypotheses: forward broadcasts an array, and backward sums its gradient over the wrong axes.

For example, forward computes ``x + b`` with a square x, and a student writes ``db = dy.sum(axis=1)`` instead of
``db = dy.sum(axis=0)``. To test this, forward is changed: it adds the increment of b along the wrong axis. If the
gradients of the changed forward equal the gradients from backward, the mistake is found.

The increment of an operand or a result is the array minus its value in the first forward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..tape import Node
from .forward_graph import ForwardGraph
from .hypotheses import Hypothesis

MISTAKE = "summed over the wrong axis"


def wrong_sums(graph: ForwardGraph) -> Iterator[Hypothesis]:
    """Yield hypotheses in which backward sums the gradient of an operand over the wrong axes.

    For example, in x + y with x of shape (3, 1) and y of shape (3, 4), x is broadcast to the shape (3, 4). Backward
    must sum the gradient of x over axis 1 only.
    """
    for nodes, j, only in graph.edges():
        node, ndim = nodes[0], nodes[0].result.ndim
        if j < 0 or not node.elementwise or np.size(node.operands[j]) >= node.result.size:
            continue
        operand, shape = np.asarray(node.operands[j]), node.result.shape
        padded = (1,) * (len(shape) - operand.ndim) + operand.shape
        long = [a for a, n in enumerate(padded) if n > 1]
        path = graph.describe(nodes, j)
        if operand.size > 1:
            everything = {n.number: spread_increment(j, lambda d: np.full(d.shape, d.sum())) for n in nodes}
            evidence = f"backward sums the gradient of {path} over all axes, not only over the broadcast axes"
            yield Hypothesis(1.9, MISTAKE, evidence, node.place, everything, only)
        if len(long) == 1:
            for axis, n in enumerate(shape):
                if axis != long[0] and n == padded[long[0]]:
                    turned = {
                        m.number: spread_increment(j, lambda d, a=axis, n=n, r=ndim: along_axis(d, a, n, r))
                        for m in nodes
                    }
                    evidence = f"backward sums the gradient of {path} over all axes except axis {axis}, but the "
                    evidence += f"sum must keep axis {long[0]}"
                    yield Hypothesis(1.9, MISTAKE, evidence, node.place, turned, only)


def along_axis(d: Any, axis: int, n: int, ndim: int) -> Any:
    """Return the `n` elements of `d` as an array with `ndim` axes. All axes except `axis` have the length 1."""
    return np.reshape(d, (1,) * axis + (n,) + (1,) * (ndim - axis - 1))


def spread_increment(j: int, L: Callable) -> Callable:
    """Return a function for `Tape.changes` that applies `L` to the increment of operand `j`.

    The increment is the operand minus its value in the first forward pass. The operation must be elementwise. The
    result of `L` may have another shape than its argument.
    """

    def changed(node: Node, operands: list[Any]) -> Any:
        moved = L(np.asarray(operands[j] - node.operands[j]))
        operands = list(operands)
        operands[j] = node.operands[j]
        alone = list(node.operands)
        alone[j] = node.operands[j] + moved
        return node.compute(*operands) + node.compute(*alone) - node.result

    return changed
