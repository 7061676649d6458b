"""Hypotheses about windows and rows: backward adds their gradient at a wrong position, or counts repeated rows once.

A window is a part of an array that forward reads, such as the part of an image under a convolution's kernel.

    x[2 * i : 2 * i + 3] in a loop    backward adds to dx[i : i + 3], or to a neighbouring window
    a product with a kernel           backward does not rotate the kernel, or rotates it by mistake
    C[ids] with repeated ids          backward uses dC[ids] += d, which adds only one d for each repeated id

To test such a mistake, forward is changed: it reads the increment of x from the windows that backward uses. If the
gradients of the changed forward equal the gradients from backward, the mistake is found. The increment of an array is
the array minus its value in the first forward pass. In a report, an iteration of a loop is called a round.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import combinations, product
from typing import Any

import numpy as np

from ..tape import Node, change_path, flat_indices_of_view, replace_factor
from .forward_graph import ForwardGraph
from .hypotheses import Hypothesis
from .reordered_axes import axes_in_words

PRODUCTS = {"multiply", "matmul", "dot", "einsum", "tensordot", "inner", "vdot", "outer"}


def repeated_rows(graph: ForwardGraph) -> Iterator[Hypothesis]:
    """Yield hypotheses about a lookup such as C[ids]: if `ids` repeats an index, backward adds too few gradients.

    The result C[ids] has one row for each element of `ids`. If an index occurs several times in `ids`, backward must
    add the gradients of all rows with this index. In some hypotheses, backward adds the gradient of only one of these
    rows. In other hypotheses, backward makes this mistake separately at each position along an axis of `ids`, such as
    at each time step.

    `np.repeat` is a lookup too. If forward repeats rows and then columns, backward may add the gradient of only one
    copy of each row and of each column.
    """
    repeats: dict[str, dict[int, Callable]] = {"first": {}, "last": {}}
    for nodes in graph.families.values():
        node = nodes[0]
        if node.name not in ("lookup", "take", "repeat") or len(nodes) > 1 or not node.active[0]:
            continue
        only, element = graph.variable_name(nodes, 0), "element" if node.name == "repeat" else "index"
        places = np.arange(np.size(node.operands[0])).reshape(np.shape(node.operands[0]))
        keys = np.asarray(node.compute(places, *node.operands[1:]))
        for axis in (None, *range(keys.ndim - 1)):
            groups = 0 if axis is None else np.indices(keys.shape)[axis]
            where = "" if axis is None else f", separately at each position along axis {axis}"
            flat = (groups * places.size + keys).ravel()
            for ordered, word in ((flat[::-1], "last"), (flat, "first")):
                counted = np.zeros(flat.size)
                counted[np.unique(ordered, return_index=True)[1]] = 1
                mask = (counted[::-1] if word == "last" else counted).reshape(keys.shape)
                if mask.all():
                    continue
                once = {node.number: change_path(-1, lambda d, m=mask: m * d)}
                evidence = f"backward computes as if only the {word} occurrence of each {element} counted{where}"
                yield Hypothesis(1.0, "rows met twice counted once", evidence, node.place, once, only)
                if node.name == "repeat" and axis is None:
                    repeats[word] |= once
    for word, once in repeats.items():
        if len(once) > 1:
            place = graph.tape.nodes[min(once)].place
            evidence = f"backward computes as if only the {word} copy of each repeated element counted"
            yield Hypothesis(1.05, "rows met twice counted once", evidence, place, once)


def overwritten_windows(graph: ForwardGraph) -> Iterator[Hypothesis]:
    """Yield hypotheses in which backward overwrites the gradient of an earlier window instead of adding to it.

    If windows overlap, an element then receives a gradient only from the last window that contains it. If backward
    loops in the reversed order, the element receives a gradient only from the first window.
    """
    for w in find_windows(graph):
        one_matrix = len(w.nodes) == 1  # the windows are rows of one matrix, but backward may loop over columns
        columns = list(np.array(w.pieces).T) if one_matrix else []
        chosen = [w.pieces] if w.nodes[0].name not in ("maximum.reduce", "minimum.reduce") else [w.chosen, w.pieces]
        for own in chosen:
            for parts, word in product([own, columns] if one_matrix else [own], ("last", "first")):
                owner, numbered = np.full(w.base.size, -1), list(enumerate(parts))
                for k, index in numbered if word == "last" else numbered[::-1]:
                    owner[index] = k
                if parts is columns:
                    masks = [owner[index] == np.arange(len(columns)) for index in w.pieces]
                else:
                    masks = [owner[index] == k for k, index in enumerate(w.pieces)]
                masks = [np.array(masks)] if one_matrix else masks
                if all(m.all() for m in masks):
                    continue
                once = {
                    n.number: change_path(w.j, partial(np.multiply, m.reshape(np.shape(n.operands[w.j]))))
                    for n, m in zip(w.nodes, masks, strict=True)
                }
                noun = "column" if parts is columns else "window"
                evidence = (
                    f"backward computes as if each element of {w.name} were used only in the {word} {noun} that "
                    f"contains it"
                )
                mistake = "rows met twice counted once"
                if len(w.nodes) > 1 and are_repeated(w.pieces):
                    noun = "time step" if graph.is_time_loop(len(w.nodes)) else "round of the loop"
                    mistake = f"only the {word} {noun} counted"
                yield Hypothesis(3.15, mistake, evidence, w.nodes[0].place, once, w.name)


def are_repeated(pieces: list[np.ndarray]) -> bool:
    """Return True if each pair of windows is equal or does not overlap."""
    whole = {frozenset(np.ravel(i).tolist()) for i in pieces}
    return sum(map(len, whole)) == len(frozenset().union(*whole))


@dataclass
class Windows:
    """The windows of one array. Forward reads one window in each iteration of a loop, or all as rows of a matrix.

    Attributes
    ----------
    nodes : list of Node
        The operations that read the windows as operand `j`.
    name : str
        The name of the differentiated array from which the windows come.
    base : ndarray
        The array from which the windows are taken: the differentiated array, or a padded copy of it.
    origin : ndarray
        For each element of `base`, its flat index in the differentiated array. The index of padding is -1.
    pieces : list of ndarray
        For each window, the flat indices of its elements in `base`.
    chosen : list of ndarray
        For each window, the flat indices of its elements that receive a gradient. If forward takes the maximum
        of a window, only the largest element receives a gradient.
    own : bool
        True if the windows are views of the differentiated array.
    """

    nodes: list[Node]
    j: int
    name: str
    base: np.ndarray
    origin: np.ndarray
    pieces: list[np.ndarray]
    chosen: list[np.ndarray]
    own: bool


def find_windows(graph: ForwardGraph) -> Iterator[Windows]:
    """Yield a `Windows` object for each group of windows that forward reads from one array."""
    variables = graph.projection.variables
    for nodes, j, only in graph.edges():
        if j < 0 or not isinstance(nodes[0].operands[j], np.ndarray):
            continue
        if only is not None and len(nodes) > 1 and all(n.view_indices[j] is not None for n in nodes):
            index = [n.view_indices[j] for n in nodes]
            base, origin, name = variables[only], np.arange(variables[only].size), only
        elif len(nodes) > 1 and all(n.views[j] is not None for n in nodes):
            owner = owner_of(nodes[0].views[j])
            base = owner.view(np.ndarray)
            if any(owner_of(n.views[j]) is not owner or n.views[j].size >= base.size for n in nodes):
                continue
            found = elements_of(base, variables)
            if found is None:
                continue
            name, origin = found
            index = [flat_indices_of_view(n.views[j], base) for n in nodes]
        elif len(nodes) == 1 and only is None and np.ndim(nodes[0].operands[j]) == 2:
            made = graph.producer(nodes[0].operands[j], nodes[0].number)
            found = None if made is not None else elements_of(nodes[0].operands[j], variables)
            if found is None or (found[1] < 0).any():
                continue
            name, rows = found
            rows = rows.reshape(nodes[0].operands[j].shape)
            base, origin, index = variables[name], np.arange(variables[name].size), list(rows)
            if np.unique(rows).size == rows.size:
                continue
        else:
            continue
        chosen = index if len(nodes) == 1 else [chosen_elements(n, j, i) for n, i in zip(nodes, index, strict=True)]
        yield Windows(nodes, j, name, base, origin, index, chosen, only is not None)


def owner_of(view: np.ndarray) -> np.ndarray:
    """Return the array that owns the memory of a view."""
    while isinstance(view.base, np.ndarray):
        view = view.base
    return view


def elements_of(array: np.ndarray, variables: dict[str, np.ndarray]) -> tuple[str, np.ndarray] | None:
    """Return (name, flat indices) if `array` contains only elements of one differentiated array, and zeros.

    `name` is the name of the differentiated array. For each element of `array`, the index says where this element is in
    the differentiated array. The index of a zero is -1, because a zero may come from padding.
    """
    flat = np.ravel(array)
    for name, variable in variables.items():
        values = np.ravel(variable)
        order = np.argsort(values)
        if values.size < 4 or (np.diff(values[order]) == 0).any():
            continue
        at = order[np.clip(np.searchsorted(values[order], flat), 0, values.size - 1)]
        same = values[at] == flat
        if (same | (flat == 0)).all() and same.any():
            return name, np.where(same & (flat != 0), at, -1)
    return None


def chosen_elements(node: Node, j: int, index: np.ndarray) -> np.ndarray:
    """Return the elements of `index` at which operand `j` of the operation `node` receives a gradient.

    `index` contains an index for each element of the operand. In a maximum or minimum, only the chosen element receives
    a gradient. In other operations, all elements receive a gradient.
    """
    if node.name not in ("maximum.reduce", "minimum.reduce"):
        return index
    axis, result = node.kwargs.get("axis"), node.result
    if axis is not None and not node.kwargs.get("keepdims"):
        result = np.expand_dims(result, axis)
    return index[node.operands[j] == result]


def moved_windows(graph: ForwardGraph) -> Iterator[Hypothesis]:
    """Yield hypotheses in which backward uses windows at wrong positions, such as windows with a wrong stride."""
    for w in find_windows(graph):
        first, j = w.nodes[0], w.j
        shape, window = w.base.shape, first.operand_names[j]
        starts = [np.unravel_index(int(np.min(i)), shape) for i in w.pieces]
        partners = [i for i in range(len(first.operands)) if i != j and any(n.active[i] for n in w.nodes)]
        padded = np.append(w.origin, -1)  # -1 means outside the array, and padded[-1] is -1 too
        ends = np.array([np.unravel_index(int(np.max(i)), shape) for i in w.pieces])
        wide = (ends > np.array(starts)).any(axis=0)  # the axes along which a window has more than one element
        rigid = window_moves(np.array(starts), shape, wide)
        moves = [(words, mistake, moved_together(w.pieces, shape, starts, move)) for words, mistake, move in rigid]
        for describe, mistake, moved in [*moves, *windows_without_gaps(w.pieces, shape)]:
            if len(w.nodes) == 1:
                moved = [np.array(moved)]
            where = {n.number: padded[i] for n, i in zip(w.nodes, moved, strict=True)}
            factors = {n.number: np.append(np.ravel(w.base), 0.0)[i] for n, i in zip(w.nodes, moved, strict=True)}
            evidence = f"backward computes as if `{window}` {describe}"
            changes = {k: move_window(graph, j, w.name, index) for k, index in where.items()}
            yield Hypothesis(1.9, mistake, evidence, first.place, changes, w.name)
            for i in partners if first.name in PRODUCTS else ():
                replaced = {k: replace_factor(i, j, values) for k, values in factors.items()}
                words = f"{evidence}, in the gradient of {graph.describe(w.nodes, i)}"
                yield Hypothesis(1.95, mistake, words, first.place, replaced, graph.variable_name(w.nodes, i))
                both = {k: move_window(graph, j, w.name, where[k], i, factors[k]) for k in where}
                yield Hypothesis(1.92, mistake, f"{evidence}, in the gradients of both operands", first.place, both)


def window_moves(starts: np.ndarray, shape: tuple[int, ...], long: np.ndarray) -> Iterator[tuple[str, str, Callable]]:
    """Yield (description, mistake, function) for each way in which backward may use wrong positions for windows.

    The start of a window is the index of its first element. The function maps the start in forward to the start in
    backward. `starts` are the starts of all windows in an array of shape `shape`. `long` is True at the axes along
    which a window has more than one element.
    """
    strides = []
    for axis in range(starts.shape[1]):
        values = np.unique(starts[:, axis])
        steps = np.unique(np.diff(values))
        strides.append(int(steps[0]) if len(steps) == 1 else 0)
    moving = [axis for axis, stride in enumerate(strides) if stride > 0]
    wide = [axis for axis in moving if strides[axis] > 1]
    for axes in {tuple(wide), *((axis,) for axis in wide)} - {()}:
        scale = np.array([strides[axis] if axis in axes else 1 for axis in range(len(shape))])
        first = starts.min(axis=0)
        words = f"moved by 1 instead of {strides[axes[0]]} from round to round, along {axes_in_words(axes)}"
        yield words, "stride forgotten", lambda s, k=scale, f=first: f + (s - f) // k
    for a, b in combinations(moving, 2):  # for y[i, j], backward uses the window at row j and column i
        if strides[a] == strides[b] and set(starts[:, a]) == set(starts[:, b]):
            order = np.arange(len(shape))
            order[[a, b]] = b, a
            yield f"were read with {axes_in_words((a, b))} exchanged", "transposed", lambda s, o=order: s[o]
    for axis in moving:
        for stride in (
            () if not long[axis] else {strides[axis] + 1, strides[axis] - 1, strides[axis] * 2} - {0, strides[axis], 1}
        ):
            first = starts.min(axis=0)

            def other_stride(s: Any, a: int = axis, k: int = stride, f: Any = first) -> Any:
                s = s.copy()
                s[a] = f[a] + (s[a] - f[a]) // strides[a] * k
                return s

            yield f"moved by {stride} instead of {strides[axis]} along axis {axis}", "stride forgotten", other_stride
        for step in (-1, 1):
            unit = np.zeros(len(shape), dtype=int)
            unit[axis] = step
            yield f"were shifted by {step:+d} along axis {axis}", "shifted by one", lambda s, u=unit: s + u


def moved_together(
    pieces: list[np.ndarray], shape: tuple[int, ...], starts: list[tuple], move: Callable
) -> list[np.ndarray]:
    """Move each window to ``move(start)``, and return the new flat indices of its elements, as `moved_index` does."""
    pairs = zip(pieces, starts, strict=True)
    return [moved_index(piece, shape, start, move(np.array(start))) for piece, start in pairs]


def windows_without_gaps(
    pieces: list[np.ndarray], shape: tuple[int, ...]
) -> Iterator[tuple[str, str, list[np.ndarray]]]:
    """Yield (description, mistake, indices) for a backward that ignores the gaps of a dilated convolution's windows.

    For each window, `pieces` contains the flat indices of its elements in an array of shape `shape`, and `indices`
    contains the flat indices without the gaps.
    """
    places = [np.array(np.unravel_index(piece, shape)) for piece in pieces]
    steps = [{int(step) for at in places for step in np.diff(np.unique(at[axis]))} for axis in range(len(shape))]
    wide = [axis for axis, found in enumerate(steps) if len(found) == 1 and max(found) > 1]
    for axes in {tuple(wide), *((axis,) for axis in wide)} - {()}:
        moved = []
        for at in places:
            at = at.copy()
            for axis in axes:
                first = at[axis].min()
                at[axis] = first + (at[axis] - first) // max(steps[axis])
            moved.append(np.ravel_multi_index(tuple(at), shape))
        words = f"had no gaps along {axes_in_words(axes)}, where its elements are {max(steps[axes[0]])} apart"
        yield words, "stride forgotten", moved


def moved_index(index: np.ndarray, shape: tuple[int, ...], start: tuple, new: np.ndarray) -> np.ndarray:
    """Move a window of an array of shape `shape`, and return the new flat indices of its elements.

    `index` are the flat indices before the move. The first element of the window moves from the position `start` to the
    position `new`. An element that lies outside the array after the move gets the index -1.
    """
    at = np.array(np.unravel_index(index, shape)) + (new - np.array(start)).reshape(-1, *(1,) * index.ndim)
    sizes = np.array(shape).reshape(-1, *(1,) * index.ndim)
    inside = ((at >= 0) & (at < sizes)).all(axis=0)
    flat = np.ravel_multi_index(tuple(np.clip(at, 0, sizes - 1)), shape)
    return np.where(inside, flat, -1)


def move_window(
    graph: ForwardGraph, j: int, name: str, index: np.ndarray, other: int | None = None, factor: Any = None
) -> Callable:
    """Return a function for `Tape.changes` that makes an operation read a window at a wrong position.

    Operand `j` of the operation is a window of the array `name`. The changed operation adds the increment of other
    elements of this array to the window: the elements at the flat indices `index`. If `other` is given, the operation
    is a product u v, where u is operand `j` and v is the operand `other`. The gradient of v then contains `factor`
    instead of u.
    """
    variable = graph.projection.variables[name]
    before = variable.ravel().copy()

    def changed(node: Node, operands: list[Any]) -> Any:
        moved = np.append(variable.ravel() - before, 0.0)[index]
        operands, moving = list(operands), list(node.operands)
        operands[j] = node.operands[j] + moved
        if other is None:
            return node.compute(*operands)
        moving[j], moving[other] = factor, operands[other] - node.operands[other]
        operands[other] = node.operands[other]
        return node.compute(*operands) + node.compute(*moving)

    return changed


def turned_kernels(graph: ForwardGraph) -> Iterator[Hypothesis]:
    """Yield hypotheses in which backward uses a kernel that is reversed along some axes."""
    for nodes, j, only in graph.edges():
        node = nodes[0]
        if j < 0 or node.name not in PRODUCTS:
            continue
        for other in range(len(node.operands)):
            name = graph.variable_name(nodes, other) if other != j else None
            if name is None or any(n.whole_indices[other] is None for n in nodes):
                continue
            kernel = graph.projection.variables[name]
            long = [axis for axis, n in enumerate(kernel.shape) if n > 1]
            for count in (2, 1, 3):
                for axes in combinations(long, count):
                    turned = np.flip(kernel, axes).ravel()
                    changes = {n.number: replace_factor(j, other, turned[n.whole_indices[other]]) for n in nodes}
                    words = f"backward reverses {name} along {axes_in_words(axes)}"
                    evidence = f"to compute the gradient of {graph.describe(nodes, j)}, {words}"
                    yield Hypothesis(2.9, "axes reversed", evidence, node.place, changes, only)
