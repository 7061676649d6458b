"""Hypotheses about windows and rows: backward adds their gradient at a wrong position, or counts repeated rows once.

x[2 * i : 2 * i + 3] in a loop      backward adds to x[i : i + 3], or to a neighbouring window
a product with a kernel             backward does not rotate the kernel, or rotates it once too often
C[ids] with repeated ids            backward uses dC[ids] += d, which adds only one d for each repeated id
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

import numpy as np

from ..tape import Node, change_path, replace_factor
from .forward_graph import ForwardGraph
from .hypotheses import Hypothesis

PRODUCTS = {"multiply", "matmul", "dot", "einsum", "tensordot", "inner", "vdot", "outer"}


def repeated_rows(graph: ForwardGraph) -> Iterator[Hypothesis]:
    """Yield hypotheses in which a repeated index counts once in all indices, or once in each row of the indices."""
    for nodes in graph.families.values():
        node = nodes[0]
        index = node.kwargs.get("index") if node.name == "lookup" else None
        ids = index if isinstance(index, np.ndarray) else np.asarray(index) if isinstance(index, list) else None
        if ids is None or ids.dtype.kind not in "iu" or len(nodes) > 1 or not node.active[0]:
            continue
        only = graph.variable_name(nodes, 0)
        for axes in range(ids.ndim):
            groups = np.arange(int(np.prod(ids.shape[:axes]))).reshape(ids.shape[:axes] + (1,) * (ids.ndim - axes))
            where = "in all" if axes == 0 else "in each row of the indices"
            yield from repeated_once(node, ids, groups, where, only)
        if ids.ndim == 2:
            groups = np.arange(ids.shape[1])[None, :]
            yield from repeated_once(node, ids, groups, "in each column of the indices", only)


def repeated_once(node: Node, ids: np.ndarray, groups: Any, where: str, only: str | None) -> Iterator[Hypothesis]:
    """Yield hypotheses in which an index that repeats in a group counts only the last time, or only the first time."""
    keys = (np.broadcast_to(groups, ids.shape) * (ids.max() - ids.min() + 1) + ids).ravel()
    if len(np.unique(keys)) == len(keys):
        return
    for ordered, word in ((keys[::-1], "last"), (keys, "first")):
        counted = np.zeros(len(keys))
        counted[np.unique(ordered, return_index=True)[1]] = 1
        counted = (counted[::-1] if word == "last" else counted).reshape(ids.shape)
        mask = counted.reshape(ids.shape + (1,) * (node.result.ndim - ids.ndim))
        once = {node.number: change_path(-1, lambda d, m=mask: m * d)}
        evidence = f"backward computes as if an index that repeats {where} counted once, the {word} time"
        yield Hypothesis(1.0, "rows met twice counted once", evidence, node.place, once, only)


def moved_windows(graph: ForwardGraph) -> Iterator[Hypothesis]:
    """Yield hypotheses in which backward uses other positions for the windows of a loop, such as another stride."""
    for nodes, j, only in graph.edges():
        if only is None or len(nodes) < 2 or any(n.view_indices[j] is None for n in nodes):
            continue
        variable = graph.projection.variables[only]
        window = nodes[0].operand_names[j]
        starts = [np.unravel_index(int(np.min(n.view_indices[j])), variable.shape) for n in nodes]
        partners = [i for i in range(len(nodes[0].operands)) if i != j and all(n.active[i] for n in nodes)]
        for describe, mistake, move in window_moves(np.array(starts), variable.shape):
            changes: dict[int, Callable] = {}
            factors: dict[int, np.ndarray] = {}
            for n, start in zip(nodes, starts, strict=True):
                index = moved_index(n.view_indices[j], variable.shape, start, move(np.array(start)))
                changes[n.number] = move_window(graph, j, only, index)
                factors[n.number] = np.append(variable.ravel(), 0.0)[index]
            evidence = f"backward computes as if `{window}` {describe}"
            yield Hypothesis(1.9, mistake, evidence, nodes[0].place, changes, only)
            for i in partners if nodes[0].name in PRODUCTS else ():
                replaced = {number: replace_factor(i, j, values) for number, values in factors.items()}
                words = f"{evidence}, on the way back to {graph.describe(nodes, i)}"
                yield Hypothesis(1.95, mistake, words, nodes[0].place, replaced, graph.variable_name(nodes, i))


def window_moves(starts: np.ndarray, shape: tuple[int, ...]) -> Iterator[tuple[str, str, Callable]]:
    """Yield (description, mistake, function from the start of a window in forward to the one in backward)."""
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
        where = " and ".join(map(str, axes))
        words = f"moved by 1 and not by {strides[axes[0]]} from round to round, along axis {where}"
        yield words, "stride forgotten", lambda s, k=scale, f=first: f + (s - f) // k
    for axis in moving:
        for stride in {strides[axis] + 1, strides[axis] - 1, strides[axis] * 2} - {0, strides[axis], 1}:
            first = starts.min(axis=0)

            def other_stride(s: Any, a: int = axis, k: int = stride, f: Any = first) -> Any:
                s = s.copy()
                s[a] = f[a] + (s[a] - f[a]) // strides[a] * k
                return s

            yield f"moved by {stride} and not by {strides[axis]} along axis {axis}", "stride forgotten", other_stride
        for step in (-1, 1):
            unit = np.zeros(len(shape), dtype=int)
            unit[axis] = step
            yield f"lay {step:+d} further along axis {axis}", "shifted by one", lambda s, u=unit: s + u


def moved_index(index: np.ndarray, shape: tuple[int, ...], start: tuple, new: np.ndarray) -> np.ndarray:
    """Return the flat indices of a window that begins at `new` instead of `start`; -1 outside the array."""
    at = np.array(np.unravel_index(index, shape)) + (new - np.array(start)).reshape(-1, *(1,) * index.ndim)
    sizes = np.array(shape).reshape(-1, *(1,) * index.ndim)
    inside = ((at >= 0) & (at < sizes)).all(axis=0)
    flat = np.ravel_multi_index(tuple(np.clip(at, 0, sizes - 1)), shape)
    return np.where(inside, flat, -1)


def move_window(graph: ForwardGraph, j: int, name: str, index: np.ndarray) -> Callable:
    """Replace the movement of operand `j`, a window of the array `name`, by that of another part of this array."""
    variable = graph.projection.variables[name]
    before = variable.ravel().copy()

    def changed(node: Node, operands: list[Any]) -> Any:
        moved = np.append(variable.ravel() - before, 0.0)[index]
        operands = list(operands)
        operands[j] = node.operands[j] + moved
        return node.compute(*operands)

    return changed


def turned_kernels(graph: ForwardGraph) -> Iterator[Hypothesis]:
    """Yield hypotheses in which a product with a view of an array uses that array reversed along some of its axes."""
    for nodes, j, only in graph.edges():
        node = nodes[0]
        if j < 0 or node.name not in PRODUCTS:
            continue
        for other in range(len(node.operands)):
            name = graph.variable_name(nodes, other) if other != j else None
            if name is None or not isinstance(node.operands[other], np.ndarray):
                continue
            kernel = graph.projection.variables[name]
            long = [axis for axis, n in enumerate(kernel.shape) if n > 1]
            for count in (2, 1, 3):
                for axes in combinations(long, count):
                    turned = np.flip(kernel, axes).ravel()
                    values = [turned_view(n, other, turned) for n in nodes]
                    if any(v is None for v in values):
                        continue
                    changes = {n.number: replace_factor(j, other, v) for n, v in zip(nodes, values, strict=True)}
                    words = f"{name} were reversed along axes {list(axes)}"
                    evidence = f"backward computes as if {words}, on the way back to {graph.describe(nodes, j)}"
                    yield Hypothesis(2.9, "axes reversed", evidence, node.place, changes, only)


def turned_view(node: Node, j: int, values: np.ndarray) -> np.ndarray | None:
    """Return operand `j`, a view of a whole array or of a part, with other `values` in that array; None if unknown."""
    index = node.whole_indices[j]
    return None if index is None else values[index]
