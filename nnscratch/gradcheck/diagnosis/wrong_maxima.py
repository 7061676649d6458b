"""Hypotheses: the derivative of a maximum or a minimum is wrong.

    max(x)          every element gets the gradient, or a wrong element gets the gradient
    max(u, v)       the masks of u and v are left out or exchanged

For example, a student of max pooling adds the gradient to all elements of a window: ``dx[i : i + 2] += dy[i]``. To test
this, forward is changed: its maximum gets the derivative of a sum. If the gradients of the changed forward equal the
gradients from backward, the mistake is found.

The increment of an operand or a result is the array minus its value in the first forward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np

from ..tape import Node, change_path, increment
from .forward_graph import ForwardGraph
from .hypotheses import Hypothesis
from .reordered_axes import axes_in_words

MAXIMA = ("maximum.reduce", "minimum.reduce")


def wrong_maxima(graph: ForwardGraph) -> Iterator[Hypothesis]:
    """Yield hypotheses about the maximum of an array along some axes, as in max pooling.

    A right backward passes the gradient to the largest element only. Forward may compute a maximum in several
    operations, such as ``x.max(axis=3).max(axis=4)``. Then each operation is tested alone, and all of them together.
    """
    found = [(nodes, only) for nodes, j, only in graph.edges() if nodes[0].name in MAXIMA and j == 0]
    groups = [(nodes, only) for nodes, only in found]
    groups += [([n for nodes, _ in found for n in nodes], None)] if len(found) > 1 else []
    for nodes, only in groups:
        window, place = graph.describe(nodes, 0), nodes[0].place
        for rank, function, words in (
            (1.2, np.add.reduce, f"every element of {window} were the largest"),
            (1.21, np.mean, f"forward took the mean of {window}: every element gets an equal part of the gradient"),
        ):
            changes = {n.number: with_function(function, n) for n in nodes}
            evidence = f"backward computes as if {words}"
            yield Hypothesis(rank, "mask not applied", evidence, place, changes, only)
        for axes in combinations(range(np.ndim(nodes[0].operands[0])), 2):
            lengths = {n.operands[0].shape[axis] for n in nodes for axis in axes if np.ndim(n.operands[0]) > axes[1]}
            if len(lengths) > 1 or lengths <= {1}:
                continue
            turned = {n.number: change_path(0, lambda d, axes=axes: np.swapaxes(d, *axes)) for n in nodes}
            evidence = f"backward exchanges {axes_in_words(axes)} of {window}: the gradient goes to a wrong element"
            yield Hypothesis(1.9, "transposed", evidence, place, turned, only)


def with_function(function: Callable, node: Node) -> Callable:
    """Return a replacement for a maximum: its value is the same, but it has the derivative of `function`.

    For example, if `function` is np.mean, a change of any element changes the result.
    """
    kwargs = {k: v for k, v in node.kwargs.items() if k in ("axis", "keepdims")}
    kwargs.setdefault("axis", 0)  # the default axis of np.maximum.reduce
    return lambda node, x: node.result + function(increment(x[0], node.operands[0]), **kwargs)


def larger_of_two(graph: ForwardGraph) -> Iterator[Hypothesis]:
    """Yield hypotheses about the elementwise maximum or minimum of two arrays.

    A right backward passes the gradient of each element only to the array from which forward takes this element.
    """
    for nodes in graph.families.values():
        name, place = nodes[0].name, nodes[0].place
        j, k = (1, 2) if name == "where" else (0, 1)
        if name not in ("maximum", "minimum", "where") or len(nodes[0].operands) != k + 1 or nodes[0].kwargs:
            continue
        # An operand may be constant in some iterations. For example, in h = np.maximum(h, x[t]), the operand h is
        # constant in the first iteration.
        if not all(any(n.active[i] for n in nodes) for i in (j, k)) or not all(same_shapes(n, j, k) for n in nodes):
            continue
        names = [nodes[0].operand_names[i] for i in (j, k)]
        one, other = (f"`{name}`" for name in names)
        result = f"`{place.split(': ', 1)[-1]}`"
        for rank, mistake, words, factors in (
            (1.2, "mask not applied", f"{one} and {other} both receive the whole gradient", lambda m, y: (1, 1)),
            (1.2, "mask not applied", f"{one} receives the whole gradient", lambda m, y: (1, 1 - m)),
            (1.2, "mask not applied", f"{other} receives the whole gradient", lambda m, y: (m, 1)),
            (1.3, "mask inverted", f"{one} receives the gradient where {other} is chosen", lambda m, y: (1 - m, m)),
            (1.3, "mask inverted", f"{one} and {other} use the mask of {one}", lambda m, y: (m, m)),
            (1.3, "mask inverted", f"{one} and {other} use the mask of {other}", lambda m, y: (1 - m, 1 - m)),
            (1.6, "the wrong array used", f"the factor is {result} itself instead of a mask", lambda m, y: (y, y)),
        ):
            changes = {n.number: partial(with_masks, j, k, factors) for n in nodes}
            yield Hypothesis(rank, mistake, f"in the backward of {result}, {words}", place, changes)


def same_shapes(node: Node, j: int, k: int) -> bool:
    """Return True if the operands `j` and `k` have the shape of the result, or are constants of any shape."""
    return all(np.shape(node.operands[i]) == node.result.shape for i in (j, k) if node.active[i])


def with_masks(j: int, k: int, factors: Callable, node: Node, operands: list[Any]) -> Any:
    """Compute the maximum or minimum of the operands `j` and `k`, with wrong derivatives with respect to them.

    ``factors(mask, result)`` returns the two wrong derivatives, with respect to operand `j` and to operand `k`. The
    mask is 1 where forward takes the element of operand `j`.
    """
    mask = (node.operands[j] == node.result).astype(float)
    f, g = factors(mask, node.result)
    u, v = (increment(operands[i], node.operands[i]) for i in (j, k))
    return node.result + f * u + g * v
