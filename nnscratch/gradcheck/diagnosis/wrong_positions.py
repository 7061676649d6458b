"""Hypotheses about windows that forward writes to, and about arrays that forward copies into a larger array.

out[2 * i : 2 * i + 3] += x[i] * w     backward reads dout[i : i + 3], or a neighbouring window
padded[1:-1] = x, or up[::2] = x       backward reads the gradient of x at wrong positions of the larger array

To test such a mistake, forward is changed: it puts the increment of x at the positions that backward reads. If the
gradients of the changed forward equal the gradients from backward, the mistake is found. The increment of an array is
the array minus its value in the first forward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

import numpy as np

from ..tape import Node, flat_indices_of_view
from .forward_graph import ForwardGraph
from .hypotheses import Hypothesis
from .reordered_axes import axes_in_words
from .wrong_windows import Windows, find_windows, move_window, moved_index, owner_of, window_moves


def moved_results(graph: ForwardGraph) -> Iterator[Hypothesis]:
    """Yield hypotheses about a transposed convolution: forward adds to windows, and backward reads wrong windows."""
    for nodes in graph.families.values():
        views = [n.views[0] for n in nodes]
        if len(nodes) < 2 or nodes[0].name != "add" or any(v is None for v in views):
            continue
        owner = owner_of(views[0])
        if any(owner_of(v) is not owner or v.shape != n.result.shape for v, n in zip(views, nodes, strict=True)):
            continue
        pieces = [flat_indices_of_view(v, owner) for v in views]
        starts = np.array([np.unravel_index(int(np.min(i)), owner.shape) for i in pieces])
        ends = np.array([np.unravel_index(int(np.max(i)), owner.shape) for i in pieces])
        for describe, mistake, move in window_moves(starts, owner.shape, (ends > starts).any(axis=0)):
            changes = {}
            for n, piece, start in zip(nodes, pieces, starts, strict=True):
                changes[n.number] = add_elsewhere(moved_index(piece, owner.shape, tuple(start), move(start.copy())))
            evidence = f"backward computes as if `{nodes[0].operand_names[0]}` {describe}"
            yield Hypothesis(1.92, mistake, evidence, nodes[0].place, changes)
            for name in graph.projection.variables:
                words = f"{evidence}, in the gradient of {name}"
                yield Hypothesis(1.95, mistake, words, nodes[0].place, changes, name)


def add_elsewhere(index: np.ndarray) -> Callable:
    """Return a replacement for ``out[window] += u`` that adds the increment of u at other positions of `out`.

    The window itself receives the value that u had in the first forward pass. `index` contains the flat indices of the
    other positions, in the array that owns the memory of `out`. If the index is -1, the element of the increment is
    not added.
    """

    def changed(node: Node, operands: list[Any]) -> Any:
        moved = np.broadcast_to(operands[1] - node.operands[1], index.shape)
        inside = index >= 0
        owner_of(operands[0]).view(np.ndarray).flat[index[inside]] += moved[inside]
        return operands[0] + node.operands[1]

    return changed


def read_elsewhere(graph: ForwardGraph) -> Iterator[Hypothesis]:
    """Yield hypotheses in which backward reads the gradient of an array at wrong positions of a larger copy."""
    for w in find_windows(graph):
        shape = graph.projection.variables[w.name].shape
        if (
            w.own
            or w.base.ndim != len(shape)
            or not np.array_equal(np.sort(w.origin[w.origin >= 0]), np.arange(np.prod(shape)))
        ):
            continue
        flat = np.empty(np.prod(shape), dtype=int)
        flat[w.origin[w.origin >= 0]] = np.flatnonzero(w.origin >= 0)
        positions = np.array(np.unravel_index(flat, w.base.shape))
        for describe, mistake, other in other_positions(positions, w.base.shape, shape):
            origin = np.full(w.base.size, -1)
            origin[np.ravel_multi_index(tuple(other), w.base.shape)] = np.arange(flat.size)
            yield Hypothesis(
                1.9,
                mistake,
                f"backward takes the gradient of {w.name} from {describe}",
                w.nodes[0].place,
                with_origin(graph, w, origin),
                w.name,
            )


def with_origin(graph: ForwardGraph, w: Windows, origin: np.ndarray) -> dict[int, Callable]:
    """Return the changes of forward that put the elements of an array at wrong positions of its padded copy.

    `origin` contains a number for each position in the copy: the flat index of the element of the array at this
    position. The number is -1 if the position belongs to the padding.
    """
    pairs = zip(w.nodes, w.pieces, strict=True)
    return {n.number: move_window(graph, w.j, w.name, origin[i]) for n, i in pairs}


def other_positions(
    positions: np.ndarray, whole: tuple[int, ...], shape: tuple[int, ...]
) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yield (description, mistake, wrong positions) for a smaller array that forward copied into a larger array.

    Backward must copy the gradient of the smaller array out of the gradient of the larger array. Each tuple contains
    wrong positions at which a backward may read.

    Parameters
    ----------
    positions : ndarray of int, shape (number of axes, number of elements)
        The right positions: for each element of the smaller array, its index in the larger array.
    whole, shape : tuple of int
        The shape of the larger array, and the shape of the smaller array.
    """
    first, last = positions.min(axis=1), positions.max(axis=1)
    strides = [(b - a) // (n - 1) if n > 1 else 1 for a, b, n in zip(first, last, shape, strict=True)]
    wide = [axis for axis, stride in enumerate(strides) if stride > 1]
    for axes in {tuple(wide), *((axis,) for axis in wide)} - {()}:
        other = positions.copy()
        for axis in axes:
            other[axis] = first[axis] + (positions[axis] - first[axis]) // strides[axis]
        words = f"neighbouring elements of the larger array, along {axes_in_words(axes)}; it needs elements that are "
        yield f"{words}{strides[axes[0]]} apart", "stride forgotten", other
    for end, steps in (("start", -first), ("end", np.array(whole) - 1 - last)):
        padded = [axis for axis, step in enumerate(steps) if step]
        for count in range(1, len(padded) + 1):
            for axes in combinations(padded, count):
                other = positions.copy()
                other[list(axes)] += steps[list(axes), None]
                words = f"the {end} of the padded array, along {axes_in_words(axes)}"
                yield f"{words}: the padding is cut off at one side only", "shifted by one", other
