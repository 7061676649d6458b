"""Functions of one array whose derivative is missing, wrong, or taken at the wrong place; softmax.

The operations that lie between an array u and a later one y, and read nothing else that moves, are y = phi(u) element
by element. What stands where phi'(u) should: 1, phi'(y), the sigmoid's formula, 1 - h^2 with another h?
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from ..tape import Node, probe, slope
from .forward import Forward
from .slopes import Hypothesis, key

SMOOTH = {"sqrt", "square", "power", "reciprocal", "multiply", "divide", "add", "subtract", "negative"}


def slopes_of_functions(forward: Forward) -> Iterator[Hypothesis]:
    """What stands where phi'(u) should?"""
    for sources, j, sinks, block in functions(forward):
        blocks = [block(s, n) for s, n in zip(sources, sinks, strict=True)]
        if not all(n in nodes for n, nodes in zip(sinks, blocks, strict=True)):
            continue
        found = [Function(s, j, n, nodes) for s, n, nodes in zip(sources, sinks, blocks, strict=True)]
        if not all(f.curved for f in found):
            continue
        only = forward.variable(sources, j)
        if only is not None and sum(1 for _, _, v in forward.edges() if v == only) > 1:
            only = None
        names = {n.name for n in found[0].nodes}
        for rank, mistake, evidence, slopes in other_slopes(forward, found, not names <= SMOOTH, sources, sinks):
            if proportional(slopes, [f.d for f in found]):
                continue  # a factor, no other slope
            changes = {}
            for f, g in zip(found, slopes, strict=True):
                changes |= sloped(forward, (f.source.number, j), f.sink.number, g)
            yield Hypothesis(rank, mistake, evidence, sinks[0].place, changes, only)


def other_slopes(
    forward: Forward, found: list[Function], activation: bool, sources: list[Node], sinks: list[Node]
) -> Iterator[tuple[float, str, str, list[Any]]]:
    d, u, y = ([getattr(f, part) for f in found] for part in ("d", "u", "y"))
    word = sources[0].words[found[0].j]
    says = f"given as if the derivative by `{word}` were "
    levels = np.unique(np.concatenate([np.round(x, 6).ravel() for x in d]))
    on_off = len(levels) == 2 and levels[0] == 0
    missing = "activation's derivative missing" if activation else "a factor missing"
    wrong = "activation's derivative wrong" if activation else "a derivative wrong"
    elsewhere = "derivative taken at the wrong value"
    at_y = [f.slope_at(f.y) for f in found]
    if on_off:
        top = levels[1]
        yield 1.1, "mask not applied", f"{says}{top:.4g} everywhere", [0 * x + top for x in d]
        yield 1.15, "mask not applied", f"{says}1 everywhere", [0 * x + 1 for x in d]
        yield 1.3, "mask inverted", f"{says}{top:.4g} exactly where it is 0", [np.where(x == 0, top, 0) for x in d]
    else:
        yield (1.2 if activation else 4.4), missing, f"{says}1", [0 * x + 1 for x in d]
        yield 1.3, "activation's derivative applied twice", f"{says}its square", [x**2 for x in d]
        if activation:
            for formula, text in (
                (lambda u, y: y, "y"),
                (lambda u, y: 1 - y, "1 - y"),
                (lambda u, y: y * (1 - y), "y (1 - y), which is the sigmoid's"),
                (lambda u, y: 1 - y**2, "1 - y^2, which is tanh's"),
                (lambda u, y: y**2, "y^2"),
                (lambda u, y: 1 + y**2, "1 + y^2"),
                (lambda u, y: y * (1 + y), "y (1 + y)"),
                (lambda u, y: (u > 0) * 1.0, "1 where the input is above 0, else 0"),
                (lambda u, y: np.where(u > 0, 1, y), "1 where the input is above 0, else y"),
                (lambda u, y: np.where(u > 0, 1, u), "1 where the input is above 0, else the input"),
            ):
                yield 1.35, wrong, says + text, [formula(a, b) for a, b in zip(u, y, strict=True)]
    if activation or on_off:
        if all(np.isfinite(x).all() for x in at_y):
            yield 1.25, elsewhere, f"{says}phi' at the activation, not at the pre-activation", at_y
        for values, name in values_like(forward, sinks):
            if all(np.array_equal(a, b) for a, b in zip(values, y, strict=True)):
                continue
            formulas = [("phi' at `%s`", lambda f, a: f.slope_at(a))]
            if all(np.allclose(1 - b**2, x) for b, x in zip(y, d, strict=True)):  # tanh's slope, given its value
                formulas.append(("1 - %s^2", lambda f, a: 1 - a**2))
            if all(np.allclose(b * (1 - b), x) for b, x in zip(y, d, strict=True)):  # the sigmoid's
                formulas.append(("%s (1 - %s)", lambda f, a: a * (1 - a)))
            for text, formula in formulas:
                g = [formula(f, a) for f, a in zip(found, values, strict=True)]
                if all(np.isfinite(x).all() for x in g):
                    yield 1.28, elsewhere, says + text.replace("%s", name), g


def values_like(forward: Forward, sinks: list[Node]) -> Iterator[tuple[list[Any], str]]:
    for values, name in forward.arrays.get(len(sinks), {}).values():
        if values[0].shape == sinks[0].result.shape and values[0].dtype.kind == "f":
            yield values, name


def functions(forward: Forward) -> Iterator[tuple]:
    """(sources, operand, sinks, block): results that are functions of one earlier array, element by element."""
    edges = [(nodes, j) for nodes, j, _ in forward.edges() if j >= 0]
    seen: set[tuple] = set()
    for sources, j in edges:
        start = sources[-1]  # in the first round a state of zeros is nobody's function
        if not start.elementwise or np.shape(start.operands[j]) != start.result.shape:
            continue
        u = key(start.operands[j])
        made = [m for m in forward.makers.get(u, ()) if m.number < start.number]
        if made and made[-1].elementwise and sum(made[-1].live) == 1 and same_shape(made[-1]):
            continue  # part of a longer function
        if (u, start.result.shape) in seen:
            continue
        seen.add((u, start.result.shape))
        block = operations_of(forward, start, u)
        for sink in block:
            readers = forward.readers.get(key(sink.result), [])
            if len(readers) == 1 and readers[0] in block and is_step(readers[0]):
                continue  # on the way to the function's value
            sinks = forward.families[sink.family]
            if len(sinks) == len(sources):
                yield sources, j, sinks, lambda s, n, j=j: operations_of(forward, s, key(s.operands[j]), n)


def operations_of(forward: Forward, start: Node, u: tuple, end: Node | None = None) -> list[Node]:
    """The elementwise operations from `start` on that read nothing alive but u and one another."""
    inside, found = {u}, []
    for node in forward.tape.nodes[start.number : start.number + 60]:
        if node.elementwise and any(node.live) and node.result.shape == start.result.shape:
            alive = {key(x) for x, live in zip(node.operands, node.live, strict=True) if live}
            if alive <= inside:
                found.append(node)
                inside.add(key(node.result))
        if node is end or len(found) == 10:
            break
    return found


class Function:
    """phi between an operand of one node and the result of a later one."""

    def __init__(self, source: Node, j: int, sink: Node, nodes: list[Node]):
        self.source, self.j, self.sink, self.nodes = source, j, sink, nodes
        self.u, self.y = source.operands[j], sink.result
        self.d = self.slope_at(self.u)

    @property
    def curved(self) -> bool:
        """phi' is not the same everywhere."""
        return bool(np.isfinite(self.d).all()) and self.d.size > 1 and float(np.ptp(self.d)) > 1e-6

    def slope_at(self, point: Any) -> Any:
        return (self(point + 1e-5) - self(point - 1e-5)) / 2e-5

    def __call__(self, u: Any) -> Any:
        values = {key(self.u): u}
        with np.errstate(all="ignore"):
            for node in self.nodes:
                operands = [
                    values.get(key(x), x) if live else x for x, live in zip(node.operands, node.live, strict=True)
                ]
                values[key(node.result)] = node.compute(*operands)
        return values[key(self.y)]


def same_shape(node: Node) -> bool:
    return any(live and np.shape(x) == node.result.shape for live, x in zip(node.live, node.operands, strict=True))


def is_step(node: Node) -> bool:
    """One array goes in, with numbers at most beside it."""
    return sum(node.live) == 1 and all(
        live or np.size(x) == 1 for x, live in zip(node.operands, node.live, strict=True)
    )


def proportional(a: list[Any], b: list[Any]) -> bool:
    """All of `a` is one number times all of `b`."""
    x, y = (np.concatenate([np.ravel(part) for part in parts]) for parts in (a, b))
    size = float(y @ y)
    return size == 0 or float(np.abs(x - (x @ y) / size * y).max()) <= 1e-6 * float(np.abs(x).max(initial=0))


# --- softmax ---------------------------------------------------------------------------------------------------------


def softmax(forward: Forward) -> Iterator[Hypothesis]:
    """Where a result is the softmax of an earlier array: its Jacobian by its diagonal."""
    for nodes in forward.families.values():
        y = nodes[0].result
        if y.ndim == 0 or y.size < 2 or not (y > 0).all() or not np.allclose(y.sum(axis=-1), 1):
            continue
        for sources, j, _ in forward.edges():
            if j < 0 or len(sources) != len(nodes) or sources[0].number > nodes[0].number:
                continue
            u = sources[0].operands[j]
            if np.shape(u) != y.shape or not np.allclose(row_softmax(u), y):
                continue
            place = nodes[0].place
            for rank, mistake, formula, derivative in JACOBIANS:
                changes = {}
                for s, n in zip(sources, nodes, strict=True):
                    changes |= sloped(forward, (s.number, j), n.number, partial(derivative, n.result))
                yield Hypothesis(rank, mistake, f"given as if softmax's backward were {formula}", place, changes)
            break


def sloped(forward: Forward, source: tuple[int, int], sink: int, g: Any) -> dict:
    """The changes that give the result of `sink` the slope g, an array or a function, by the operand `source`."""
    found = {sink: slope(forward.tape, source, g if callable(g) else partial(np.multiply, g))}
    if source[0] != sink:
        found[source[0]] = probe(forward.tape, source[1])
    return found


def over_rows(x: Any) -> Any:
    return x.sum(axis=-1, keepdims=True)


JACOBIANS = [  # rank, mistake, what backward computes, and dy for a movement d of x: the transpose of it
    (1.0, "Jacobian reduced to its diagonal", "dy y (1 - y)", lambda y, d: y * (1 - y) * d),
    (1.5, "Jacobian reduced to its diagonal", "dy y", lambda y, d: y * d),
    (1.6, "Jacobian missing", "dy", lambda y, d: d),
    (1.7, "a factor missing", "dy - sum(dy y)", lambda y, d: d - y * over_rows(d)),
    (1.7, "a factor missing", "y (dy - sum(dy))", lambda y, d: y * d - over_rows(y * d)),
    (1.7, "sign flipped", "y (dy + sum(dy y))", lambda y, d: y * d + y * over_rows(y * d)),
    (1.7, "summed over the wrong axis", "y (dy - sum(dy y) over all)", lambda y, d: y * d - y * (y * d).sum()),
    (1.7, "summed over the wrong axis", "y (dy - sum(dy y, axis 0))", lambda y, d: y * d - y * (y * d).sum(axis=0)),
]


def row_softmax(x: Any) -> Any:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)
