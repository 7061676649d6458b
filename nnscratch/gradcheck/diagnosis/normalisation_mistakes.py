"""Hypotheses about normalisation: backward uses a wrong mean or deviation, or differentiates a constant.

For example, a student of batch normalisation divides by the variance instead of the standard deviation. Or the means in
backward are over axis 1, although the means in forward are over axis 0.

Batch normalisation and similar layers compute xhat = (x - mean) / s, where s is the standard deviation. For an array d,
let P(d) = d - mean(d) - xhat mean(xhat d). The means are over the axes of the normalisation. The increment of an array
is the array minus its value in the first forward pass. If x has a small increment d, then xhat has the increment
P(d / s). A right backward computes P(dy / s), with the same P.

A wrong backward uses another function Q instead of P. To test this, change forward so that the increment of xhat is
Q(d / s).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from typing import Any

import numpy as np

from ..tape import Node, change_path
from .forward_graph import ForwardGraph
from .hypotheses import Hypothesis
from .reordered_axes import axes_in_words, axis_sets
from .wrong_slopes import with_slope

WRONG_AXIS, FACTOR = "summed over the wrong axis", "a factor missing"
CONSTANT = "a constant differentiated"


def normalisation_mistakes(graph: ForwardGraph) -> Iterator[Hypothesis]:
    """Yield hypotheses about each result inside forward that has mean 0 and standard deviation 1 along some axes."""
    for nodes in graph.families.values():
        h = nodes[0].result
        for axes in axis_sets(h.ndim):
            if h.size < 4 or np.prod([h.shape[a] for a in axes]) < 2:
                continue
            if (np.abs((h**2).mean(axis=axes) - 1) < 1e-2).all():
                yield from wrong_statistics(graph, nodes, axes)


def wrong_statistics(graph: ForwardGraph, nodes: list[Node], axes: tuple[int, ...]) -> Iterator[Hypothesis]:
    """Yield hypotheses about one result inside forward that is normalised along `axes`.

    `nodes` are the operations that compute this result, one for each iteration of a loop.
    """
    place = nodes[0].place
    read = normalised_array(graph, nodes, axes)
    if read is None:
        return
    for rank, mistake, evidence, formula in chain(other_axes(nodes[0].result.ndim, axes), wrong_terms(axes)):
        changes: dict = {}
        for source, node in zip(read[0], nodes, strict=True):
            h, s = node.result, deviation(source.operands[read[1]], node.result, axes)
            changes |= with_slope(graph, (source.number, read[1]), node.number, partial(formula, h, s))
        yield Hypothesis(rank, mistake, evidence, place, changes)


def normalised_array(graph: ForwardGraph, nodes: list[Node], axes: tuple[int, ...]) -> tuple[list[Node], int] | None:
    """Return (operations, j) for the array x from which forward computes the result of `nodes`, xhat = (x - mean) / s.

    The operations read x as their operand `j`. Return None if there is no such array.
    """
    h = nodes[0].result
    for sources, j, _ in graph.edges():
        if j < 0 or len(sources) != len(nodes) or sources[0].number >= nodes[0].number:
            continue
        x = sources[0].operands[j]
        if np.shape(x) != h.shape:
            continue
        with np.errstate(all="ignore"):  # do not warn if the deviation is 0
            xhat = (x - x.mean(axis=axes, keepdims=True)) / deviation(x, h, axes)
        if np.allclose(xhat, h, atol=1e-6):
            return sources, j
    return None


def deviation(x: Any, h: Any, axes: tuple[int, ...]) -> Any:
    """Return the array s for which h = (x - mean) / s, where mean is the mean of x over `axes`."""
    centred = x - x.mean(axis=axes, keepdims=True)
    return np.sqrt((centred**2).mean(axis=axes, keepdims=True) / (h**2).mean(axis=axes, keepdims=True))


def other_axes(ndim: int, axes: tuple[int, ...]) -> Iterator[tuple[float, str, str, Callable]]:
    """Yield (rank, mistake, evidence, formula) for a backward that takes its means over wrong axes instead of `axes`.

    ``formula(xhat, s, d)`` is the wrong increase of xhat if x increases by `d`. Here `s` is the standard deviation.
    """
    words, forward = "the backward of the normalisation takes its ", f"but forward uses {axes_in_words(axes)}"
    for other in axis_sets(ndim):
        if other == axes:
            continue
        name = "all axes" if len(other) == ndim else axes_in_words(other)
        for reduce, sort in ((np.mean, "means"), (np.sum, "sums")):
            evidence = f"{words}{sort} over {name}, {forward}"
            yield 1.8, WRONG_AXIS, evidence, lambda h, s, d, r=reduce, a=other: project(d / s, h, r, a)
        for kept, text in (("deviation", "mean"), ("mean", "deviation")):
            evidence = f"in the backward of the normalisation, the term of the {text} is taken over {name}, {forward}"
            yield 1.82, WRONG_AXIS, evidence, lambda h, s, d, a=other, k=kept: project_over_two(d / s, h, axes, a, k)


def wrong_terms(axes: tuple[int, ...]) -> Iterator[tuple[float, str, str, Callable]]:
    """Yield (rank, mistake, evidence, formula) for a backward with a wrong factor or sign in one of its terms.

    ``formula(xhat, s, d)`` is the wrong increase of xhat if x increases by `d`. Here `s` is the standard deviation.
    """
    within = "in the backward of the normalisation, the term of the"
    evidence = "the backward of the normalisation uses sums instead of means: the factor 1/N is missing"
    yield 1.85, FACTOR, evidence, lambda h, s, d: project(d / s, h, np.sum, axes)
    evidence = f"{within} deviation lacks the factor (x - mean) / deviation"
    yield (
        1.9,
        FACTOR,
        evidence,
        lambda h, s, d: project(d / s, h, np.mean, axes, 1, 0) - h * (d / s).mean(axes, keepdims=True),
    )
    for power, text in ((0, "does not divide by the deviation"), (2, "divides by the variance")):
        mistake = FACTOR if power == 0 else "a factor applied twice"
        evidence = f"the backward of the normalisation {text}"
        yield 1.9, mistake, evidence, lambda h, s, d, p=power: project(d / s**p, h, np.mean, axes)
    for a, b, text in ((-1, 1, "mean"), (1, -1, "deviation"), (-1, -1, "mean and the deviation")):
        evidence = f"{within} {text} has the wrong sign"
        yield 1.9, "sign flipped", evidence, lambda h, s, d, a=a, b=b: project(d / s, h, np.mean, axes, a, b)


def project(d: Any, h: Any, reduce: Callable, axes: tuple[int, ...], a: float = 1, b: float = 1) -> Any:
    """Return d - a mean(d) - b h mean(h d). `reduce` is the mean, or another function that is used in its place."""
    return d - a * reduce(d, axis=axes, keepdims=True) - b * h * reduce(h * d, axis=axes, keepdims=True)


def project_over_two(d: Any, h: Any, axes: tuple[int, ...], other: tuple[int, ...], kept: str) -> Any:
    """Return d - mean(d) - h mean(h d), with one mean over the right `axes`, and one mean over the wrong axes `other`.

    mean(d) comes from the mean in forward, and mean(h d) comes from the deviation. `kept` names the term that keeps the
    right axes: "mean" for mean(d), or "deviation" for mean(h d).
    """
    of_mean, of_deviation = (axes, other) if kept == "mean" else (other, axes)
    return project(d, h, np.mean, of_mean, 1, 0) - h * (h * d).mean(axis=of_deviation, keepdims=True)


def constants_differentiated(graph: ForwardGraph) -> Iterator[Hypothesis]:
    """Yield hypotheses in which backward differentiates a mean, deviation or norm that is a constant in forward."""
    for nodes in graph.families.values():
        node = nodes[0]
        if node.name not in ("subtract", "divide", "multiply") or sum(node.active) != 1:
            continue
        constant = node.operands[1 - node.active.index(True)]
        h = node.result
        if h.ndim == 0 or h.size < 4 or np.shape(constant) == h.shape:
            continue
        padded = (1,) * (h.ndim - np.ndim(constant)) + np.shape(constant)
        spread = tuple(a for a in range(h.ndim) if padded[a] == 1 and h.shape[a] > 1)
        for axes in axis_sets(h.ndim):
            if not set(axes) <= set(spread):
                continue
            name = axes_in_words(axes)
            for a, b, text in ((1, 0, "a mean"), (0, 1, "a deviation"), (1, 1, "a mean and a deviation")):
                moved = {
                    n.number: change_path(-1, lambda d, h=n.result, x=axes, a=a, b=b: project(d, h, np.mean, x, a, b))
                    for n in nodes
                }
                evidence = (
                    f"backward computes as if forward had computed {text} over {name} here, but forward uses a constant"
                )
                yield Hypothesis(3.3, CONSTANT, evidence, node.place, moved)
            norm = {
                n.number: change_path(-1, lambda d, h=n.result, x=axes: project(d, h, np.sum, x, 0, 1)) for n in nodes
            }
            evidence = (
                f"backward computes as if forward had divided by a norm over {name}, but forward divides by a constant"
            )
            yield Hypothesis(3.3, CONSTANT, evidence, node.place, norm)
