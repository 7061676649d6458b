"""ForwardGraph: the recorded operations of forward, by family, and how they are connected."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..nested import is_array
from ..tape import Node, Tape


class ForwardGraph:
    """The operations on a tape, as families: the rounds of a loop are one family.

    Parameters
    ----------
    tape : Tape

    Attributes
    ----------
    families : dict of tuple to list of Node
    producers, consumers : dict of tuple to list of Node
        The operations with a given array (its `content_key`) as result, or as an active operand.
    arrays : dict of int to dict
        By the number of rounds of a loop, the arrays met in each round, with a name for them.
    """

    def __init__(self, tape: Tape):
        self.tape, self.projection = tape, tape.projection
        self.families: dict[tuple, list[Node]] = {}
        for node in tape.nodes:
            self.families.setdefault(node.family, []).append(node)
        self.producers: dict[tuple, list[Node]] = {}
        self.consumers: dict[tuple, list[Node]] = {}
        for node in tape.nodes:
            self.producers.setdefault(content_key(node.result), []).append(node)
            for operand, active in zip(node.operands, node.active, strict=True):
                if active:
                    self.consumers.setdefault(content_key(operand), []).append(node)
        self.arrays = self._arrays()

    def _arrays(self) -> dict[int, dict[tuple, tuple[list[Any], str]]]:
        found: dict[int, dict[tuple, tuple[list[Any], str]]] = {}
        for nodes in self.families.values():
            of_count = found.setdefault(len(nodes), {})
            for j, name in [*enumerate(nodes[0].operand_names), (-1, nodes[0].place.split(": ", 1)[-1])]:
                values = [n.result if j == -1 else n.operands[j] for n in nodes]
                if not all(isinstance(v, np.ndarray) and v.ndim for v in values):
                    continue
                keys = tuple(content_key(v) for v in values)
                if keys not in of_count or (name.isidentifier() and not of_count[keys][1].isidentifier()):
                    of_count[keys] = (values, name)
        return found

    def arrays_like_operand(self, nodes: list[Node], j: int) -> Iterator[tuple[list[Any], str]]:
        """Yield other float arrays of the shape of operand `j`, one array for each round, with their name."""
        own = tuple(content_key(n.operands[j]) for n in nodes)
        shape = np.shape(nodes[0].operands[j])
        for keys, (values, name) in self.arrays.get(len(nodes), {}).items():
            if keys != own and values[0].shape == shape and values[0].dtype.kind == "f":
                yield values, name

    def variable_name(self, nodes: list[Node], j: int) -> str | None:
        """Return the name of the differentiated array that operand `j` is in every round, or None."""
        names = {n.variables[j] for n in nodes} if j >= 0 else {None}
        return names.pop() if len(names) == 1 else None

    def edges(self) -> Iterator[tuple[list[Node], int, str | None]]:
        """Yield (rounds, operand, variable name) for every operand that carries a derivative; -1 is the result."""
        for nodes in self.families.values():
            for j in range(len(nodes[0].operands)):
                if any(n.active[j] for n in nodes) and not (j == 1 and all(is_square(n) for n in nodes)):
                    yield nodes, j, self.variable_name(nodes, j)
            if any(any(n.active) for n in nodes):
                yield nodes, -1, None

    def is_state(self, nodes: list[Node], j: int) -> bool:
        """Return True if operand `j` comes from an earlier round, or is an input with the shape of an output."""
        if j < 0:
            return False
        for node in nodes:
            made = [m for m in self.producers.get(content_key(node.operands[j]), ()) if m.number < node.number]
            if made and made[-1].round < node.round:
                return True
        name = self.variable_name(nodes, j)
        inputs = self.projection.adapter.float_inputs()
        if name not in inputs:
            return False
        shapes = [np.shape(y) for y in self.projection.outputs if is_array(y)]
        batch = [n for n, v in inputs.items() if v.ndim == 2 and v.shape[0] == inputs[name].shape[0]]
        return inputs[name].shape in shapes and len(batch) > 1

    def is_bias(self, nodes: list[Node], j: int) -> bool:
        """Return True if operand `j` is a differentiated array that is added with broadcasting."""
        name = self.variable_name(nodes, j)
        return (
            name is not None
            and nodes[0].name in ("add", "subtract")
            and (np.ndim(nodes[0].operands[j]) < np.ndim(nodes[0].result))
        )

    def derivative_by_result(self, node: Node, v: Any, h: float = 1e-5) -> float:
        """Return the derivative of f if the result of an operation moves along `v`."""
        f = []
        for step in (h, -h):
            self.tape.changes = {node.number: lambda node, x, step=step: node.compute(*x) + step * v}
            try:
                f.append(self.tape.value())
            finally:
                self.tape.changes = {}
        return (f[0] - f[1]) / (2 * h)

    def describe(self, nodes: list[Node], j: int) -> str:
        """Return the source of operand `j`, or of the result, for the evidence."""
        return f"`{nodes[0].operand_names[j]}`" if j >= 0 else f"the result of `{nodes[0].place.split(': ', 1)[-1]}`"

    def is_time_loop(self, count: int) -> bool:
        """Return True if a loop of `count` rounds can be one over time: axis 1 of an array (N, T, ...)."""
        arrays = [*self.projection.variables.values(), *self.projection.outputs]
        ids = [a for a in self.projection.adapter.inputs if is_array(a) and a.dtype.kind in "iu" and a.ndim > 1]
        return any(is_array(a) and a.ndim == 3 and a.shape[1] == count for a in arrays) or any(
            a.shape[1] == count for a in ids
        )


def is_square(node: Node) -> bool:
    """Return True for x * x: its two operands are one path."""
    return (
        len(node.operands) == 2 and all(node.active) and content_key(node.operands[0]) == content_key(node.operands[1])
    )


def content_key(array: Any) -> tuple:
    """Return a key that is equal for arrays with the same shape and values."""
    a = np.ascontiguousarray(array)
    return a.shape, hash(a.tobytes())
