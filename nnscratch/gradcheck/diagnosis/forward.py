"""Forward as the tape has it: families of operations, what they read and make, what the code calls it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..tape import Node, Tape
from ..tree import is_array
from .slopes import key


class Forward:
    """The taped operations, by family, and what can be wrong with each."""

    def __init__(self, tape: Tape):
        self.tape, self.objective = tape, tape.objective
        self.families: dict[tuple, list[Node]] = {}
        for node in tape.nodes:
            self.families.setdefault(node.family, []).append(node)
        self.makers: dict[tuple, list[Node]] = {}
        self.readers: dict[tuple, list[Node]] = {}
        for node in tape.nodes:
            self.makers.setdefault(key(node.result), []).append(node)
            for operand, live in zip(node.operands, node.live, strict=True):
                if live:
                    self.readers.setdefault(key(operand), []).append(node)
        self.arrays = self._arrays()

    def _arrays(self) -> dict[int, dict[tuple, tuple[list[Any], str]]]:
        """Number of rounds -> the arrays met in each round, with a word for them."""
        found: dict[int, dict[tuple, tuple[list[Any], str]]] = {}
        for nodes in self.families.values():
            of_count = found.setdefault(len(nodes), {})
            for j, word in [*enumerate(nodes[0].words), (-1, nodes[0].place.split(": ", 1)[-1])]:
                values = [n.result if j == -1 else n.operands[j] for n in nodes]
                if not all(isinstance(v, np.ndarray) and v.ndim for v in values):
                    continue
                keys = tuple(key(v) for v in values)
                if keys not in of_count or (word.isidentifier() and not of_count[keys][1].isidentifier()):
                    of_count[keys] = (values, word)
        return found

    def like(self, nodes: list[Node], j: int) -> Iterator[tuple[list[Any], str]]:
        """Other arrays of the shape of operand j of each round."""
        own = tuple(key(n.operands[j]) for n in nodes)
        shape = np.shape(nodes[0].operands[j])
        for keys, (values, word) in self.arrays.get(len(nodes), {}).items():
            if keys != own and values[0].shape == shape and values[0].dtype.kind == "f":
                yield values, word

    def variable(self, nodes: list[Node], j: int) -> str | None:
        """The differentiated array that operand j is, every time."""
        names = {n.variables[j] for n in nodes} if j >= 0 else {None}
        return names.pop() if len(names) == 1 else None

    def edges(self) -> Iterator[tuple[list[Node], int, str | None]]:
        """(rounds, operand, variable) for all that carries a derivative; -1 is the result."""
        for nodes in self.families.values():
            for j in range(len(nodes[0].operands)):
                if any(n.live[j] for n in nodes) and not (j == 1 and all(is_square(n) for n in nodes)):
                    yield nodes, j, self.variable(nodes, j)
            if any(any(n.live) for n in nodes):
                yield nodes, -1, None

    def is_state(self, nodes: list[Node], j: int) -> bool:
        """Operand j comes from an earlier round of the loop, or is an input of the shape of an output."""
        if j < 0:
            return False
        for node in nodes:
            made = [m for m in self.makers.get(key(node.operands[j]), ()) if m.number < node.number]
            if made and made[-1].round < node.round:
                return True
        name = self.variable(nodes, j)
        inputs = self.objective.target.input_leaves()
        if name not in inputs:
            return False
        shapes = [np.shape(y) for y in self.objective.outputs if is_array(y)]
        batch = [n for n, v in inputs.items() if v.ndim == 2 and v.shape[0] == inputs[name].shape[0]]
        return inputs[name].shape in shapes and len(batch) > 1

    def is_bias(self, nodes: list[Node], j: int) -> bool:
        name = self.variable(nodes, j)
        return (
            name is not None
            and nodes[0].name in ("add", "subtract")
            and (np.ndim(nodes[0].operands[j]) < np.ndim(nodes[0].result))
        )

    def slope_by_result(self, node: Node, v: Any, h: float = 1e-5) -> float:
        """How f moves if the result of an operation moves along v."""
        f = []
        for step in (h, -h):
            self.tape.changes = {node.number: lambda node, x, step=step: node.compute(*x) + step * v}
            try:
                f.append(self.tape.value())
            finally:
                self.tape.changes = {}
        return (f[0] - f[1]) / (2 * h)

    def words(self, nodes: list[Node], j: int) -> str:
        return f"`{nodes[0].words[j]}`" if j >= 0 else f"the result of `{nodes[0].place.split(': ', 1)[-1]}`"

    def is_time(self, count: int) -> bool:
        """A loop of `count` rounds goes over axis 1 of (N, T, ...)."""
        arrays = [*self.objective.variables.values(), *self.objective.outputs]
        ids = [a for a in self.objective.target.inputs if is_array(a) and a.dtype.kind in "iu" and a.ndim > 1]
        return any(is_array(a) and a.ndim == 3 and a.shape[1] == count for a in arrays) or any(
            a.shape[1] == count for a in ids
        )


def is_square(node: Node) -> bool:
    """x * x: two operands, one path."""
    return len(node.operands) == 2 and all(node.live) and key(node.operands[0]) == key(node.operands[1])
