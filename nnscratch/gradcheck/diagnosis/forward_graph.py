"""ForwardGraph: the recorded operations of forward, by family, and how they are connected."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..nested import is_array, leaves
from ..tape import Node, Tape
from .axis_roles import axis_roles

VARIABLE = re.compile(r"[\w.]+(\[[^()]*\])*$")  # the source of a variable or an element: h, self.x, h[t - 1]


class ForwardGraph:
    """The operations on a tape, as families: the rounds of a loop are one family.

    Parameters
    ----------
    tape : Tape

    Attributes
    ----------
    nodes : list of Node
        The operations that reach the output. Forward may also compute values for backward only.
    families : dict of tuple to list of Node
        These operations by family.
    producers, consumers : dict of tuple to list of Node
        The operations with a given array (its `content_key`) as result, or as an active operand.
    can_be_wrong : set of (tuple, int), or None
        The edges, as (family, operand), at which one mistake can explain the gradients given; None for all.
    arrays : dict of int to dict
        By the number of rounds of a loop, the arrays met in each round, with a name for them.
    """

    def __init__(self, tape: Tape):
        self.tape, self.projection = tape, tape.projection
        every_family: dict[tuple, list[Node]] = {}
        for node in tape.nodes:
            every_family.setdefault(node.family, []).append(node)
        self.families = reaching_families(tape, every_family)
        dead = len(tape.nodes) - sum(len(nodes) for nodes in self.families.values())
        tape.cost -= 100 * dead  # their results are copied, and not computed
        tape.skipped = {n.number for key, nodes in every_family.items() if key not in self.families for n in nodes}
        self.nodes = [node for node in tape.nodes if node.family in self.families]
        self.producers: dict[tuple, list[Node]] = {}
        self.consumers: dict[tuple, list[Node]] = {}
        for node in self.nodes:
            self.producers.setdefault(content_key(node.result), []).append(node)
            for operand, active in zip(node.operands, node.active, strict=True):
                if active:
                    self.consumers.setdefault(content_key(operand), []).append(node)
        self.can_be_wrong: set[tuple[tuple, int]] | None = None
        self._roles: dict[str, dict[int, str]] | None = None
        self.arrays = self._arrays(every_family)  # also those that are computed for backward only

    def _arrays(self, families: dict[tuple, list[Node]]) -> dict[int, dict[tuple, tuple[list[Any], str]]]:
        found: dict[int, dict[tuple, tuple[list[Any], str]]] = {}
        for nodes in families.values():
            of_count = found.setdefault(len(nodes), {})
            for j, name in [*enumerate(nodes[0].operand_names), (-1, nodes[0].place.split(": ", 1)[-1])]:
                values = [n.result if j == -1 else n.operands[j] for n in nodes]
                if not all(isinstance(v, np.ndarray) and v.ndim for v in values):
                    continue
                keys = tuple(content_key(v) for v in values)
                if keys not in of_count or is_better_name(name, of_count[keys][1]):
                    of_count[keys] = (values, name)
        return found

    def arrays_like_operand(self, nodes: list[Node], j: int) -> Iterator[tuple[list[Any], str]]:
        """Yield other float arrays of the shape of operand `j`, one array for each round, with their name."""
        own = tuple(content_key(n.operands[j]) for n in nodes)
        for keys, (values, name) in self.arrays.get(len(nodes), {}).items():
            same = all(v.shape == np.shape(n.operands[j]) for v, n in zip(values, nodes, strict=True))
            if keys != own and same and values[0].dtype.kind == "f" and VARIABLE.match(name):
                yield values, name

    def is_possible(self, nodes: list[Node], j: int) -> bool:
        """Return True if a mistake at operand `j`, or at the result if `j` is -1, can explain the gradients given."""
        return self.can_be_wrong is None or (nodes[0].family, j) in self.can_be_wrong

    def single_edges(self) -> Iterator[tuple[list[Node], int, str | None]]:
        """Yield as `edges` does, but leave out a result that is one operand of one operation: it is the same edge."""
        for nodes, j, only in self.edges():
            if j == -1:
                readers = [m for n in nodes for m in self.consumers.get(content_key(n.result), ())]
                if len(readers) == len(nodes) and len({m.family for m in readers}) == 1:
                    continue
            yield nodes, j, only

    def producer(self, array: Any, number: int) -> Node | None:
        """Return the last operation before operation `number` with `array` as its result, or None."""
        made = [m for m in self.producers.get(content_key(array), ()) if m.number < number]
        return made[-1] if made else None

    def variable_name(self, nodes: list[Node], j: int) -> str | None:
        """Return the name of the differentiated array that operand `j` is in every round, or None."""
        names = {n.variables[j] for n in nodes} if j >= 0 else {None}
        return names.pop() if len(names) == 1 else None

    def edges(self, every: bool = False) -> Iterator[tuple[list[Node], int, str | None]]:
        """Yield (rounds, operand, variable name) for every operand that carries a derivative; -1 is the result.

        Unless `every` is True, edges that cannot be wrong are left out.
        """
        for nodes in self.families.values():
            for j in range(len(nodes[0].operands)):
                if any(n.active[j] for n in nodes) and not (j == 1 and all(is_square(n) for n in nodes)):
                    if every or self.is_possible(nodes, j):
                        yield nodes, j, self.variable_name(nodes, j)
            if any(any(n.active) for n in nodes):
                if every or self.is_possible(nodes, -1):
                    yield nodes, -1, None

    def is_state(self, nodes: list[Node], j: int) -> bool:
        """Return True if operand `j` comes from an earlier round, or is an input with the shape of an output."""
        if j < 0:
            return False
        for node in nodes:
            made = self.producer(node.operands[j], node.number)
            if made is not None and made.round < node.round:
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
        """Return True if a loop of `count` rounds runs over time: a round reads the result of an earlier one.

        A loop without a state runs over time if axis 1 of integer inputs, or an axis of the output that holds time
        steps, has this length.
        """
        for nodes in self.families.values():
            for j in range(len(nodes[0].operands)) if len(nodes) == count else ():
                made = self.producer(nodes[-1].operands[j], nodes[-1].number) if nodes[-1].active[j] else None
                if made is not None and made.round < nodes[-1].round and made.family != nodes[-1].family:
                    return True
        ids = [a for a in self.projection.adapter.inputs if is_array(a) and a.dtype.kind in "iu" and a.ndim > 1]
        if any(a.shape[1] == count for a in ids):
            return True
        if self._roles is None:
            self._roles = axis_roles(self.projection)
        outputs = dict(leaves("output", self.projection.outputs))
        return any(
            role == "time" and outputs[name].shape[axis] == count
            for name, roles in self._roles.items()
            for axis, role in roles.items()
        )


def reaching_families(tape: Tape, families: dict[tuple, list[Node]]) -> dict[tuple, list[Node]]:
    """Return the families of which at least one operation affects the output.

    The others compute values for backward, or the whole backward in a function that returns a loss and its gradient. A
    changed derivative of them changes nothing, so no hypothesis about them can be right.
    """
    centre = tape.value()

    def affects_output(nodes: list[Node]) -> bool:
        tape.changes = {n.number: lambda node, x: 1e-3 + (1 + 1e-3) * node.compute(*x) for n in nodes}
        try:
            with np.errstate(all="ignore"):
                return tape.value() != centre
        except Exception:  # the changed values may be ones for which the checked code raises any error
            return True
        finally:
            tape.changes = {}

    low, high = 0, len(tape.nodes)  # no operation from `high` on affects the output
    while low < high:
        middle = (low + high) // 2
        if affects_output(tape.nodes[middle:]):
            low = middle + 1
        else:
            high = middle
    return {k: nodes for k, nodes in families.items() if nodes[0].number < high and affects_output(nodes)}


def is_better_name(name: str, other: str) -> bool:
    """Return True if `name` is a variable's, and `other` is an element's or an expression."""
    ranks = [2 if n.isidentifier() else 1 if VARIABLE.match(n) else 0 for n in (name, other)]
    return ranks[0] > ranks[1]


def is_square(node: Node) -> bool:
    """Return True if both operands are the same array, as in x * x: both then have the same derivative."""
    return (
        len(node.operands) == 2 and all(node.active) and content_key(node.operands[0]) == content_key(node.operands[1])
    )


def content_key(array: Any) -> tuple:
    """Return a key that is equal for arrays with the same shape and values."""
    a = np.ascontiguousarray(array)
    return a.shape, hash(a.tobytes())
