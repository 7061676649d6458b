"""ForwardGraph: the recorded operations of forward, and the connections between them.

A loop in the user's code executes the same operation once in each iteration. These executions form a family: a list
with one `Node` for each iteration. An operation outside a loop is a family with one node.

An edge is an operand or the result of an operation. In backward, a gradient passes along each edge. All functions of
this folder describe an edge by two arguments: `nodes` is a family, and `j` is the index of the operand, or -1 for the
result. An operand is active if it depends on a differentiated array.

The check differentiates f, the weighted sum of the outputs (projection.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..nested import is_array, leaves
from ..tape import Node, Tape
from .axis_roles import axis_roles
from .operand_names import name_operands

# A loop with at most MAX_LAYERS iterations may run over layers. Then each iteration is also tested alone.
MAX_LAYERS = 6
MAX_NAMES = 3  # the largest number of names of one operand in a report
VARIABLE = re.compile(r"[\w.]+(\[[^()]*\])*$")  # matches a variable or an element of a variable: h, self.x, h[t - 1]


class ForwardGraph:
    """The recorded operations of forward, grouped by the loops that execute them.

    Parameters
    ----------
    tape : Tape

    Attributes
    ----------
    nodes : list of Node
        The operations on which the output depends. Operations that compute values only for backward are left out.
    families : dict of tuple to list of Node
        The operations of `nodes`, grouped in families. A family is a list of the executions of one operation in a loop.
        The key is `Node.family`.
    producers, consumers : dict of tuple to list of Node
        For each array inside forward, the operations that compute the array, and the operations that have the array as
        an active operand. In both dictionaries, the key of an array is its `content_key`.
    can_be_wrong : set of (tuple, int), or None
        Operands and results, as pairs (key in `families`, j), where j is the index of the operand, or -1 for the
        result. If one mistake of backward explains all wrong gradients, the mistake is a wrong gradient of one of
        these operands or results. None if the gradient of any operand or result may be wrong.
    outputs : set of tuple
        The `content_key` of every output.
    arrays : dict of int to dict
        The arrays that operations of forward read or compute, with their names. The key is the number of iterations of
        the loop in which an array occurs, or 1 for arrays outside a loop.
    """

    def __init__(self, tape: Tape):
        self.tape, self.projection = tape, tape.projection
        name_operands(tape.nodes, producers_of_operands(tape.nodes))
        every_family: dict[tuple, list[Node]] = {}
        for node in tape.nodes:
            every_family.setdefault(node.family, []).append(node)
        self.families = reaching_families(tape, every_family)
        dead = len(tape.nodes) - sum(len(nodes) for nodes in self.families.values())
        tape.cost -= 100 * dead  # the next runs skip these operations, and only copy their results
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
        self.outputs = {content_key(y) for _, y in leaves("", self.projection.outputs)}
        self._roles: dict[str, dict[int, str]] | None = None
        self.arrays = self._arrays(every_family)  # this dictionary also contains the arrays that only backward needs

    def _arrays(self, families: dict[tuple, list[Node]]) -> dict[int, dict[tuple, tuple[list[Any], str]]]:
        found: dict[int, dict[tuple, tuple[list[Any], str]]] = {}
        graph_of_numbers = all(v.ndim == 0 for v in self.projection.variables.values())
        for nodes in families.values():
            of_count = found.setdefault(len(nodes), {})
            for j, name in [*enumerate(nodes[0].outer_names), (-1, name_of_result(nodes[0]))]:
                values = [n.result if j == -1 else n.operands[j] for n in nodes]
                if not all(isinstance(v, np.ndarray) and (v.ndim or graph_of_numbers) for v in values):
                    continue
                keys = tuple(content_key(v) for v in values)
                if keys not in of_count or is_better_name(name, of_count[keys][1]):
                    of_count[keys] = (values, name)
                alone = found.setdefault(1, {})  # here, each iteration has its own entry
                for key, value in zip(keys, values, strict=True) if 1 < len(nodes) <= MAX_LAYERS else ():
                    alone.setdefault((key,), ([value], name))
        return found

    def arrays_like_operand(self, nodes: list[Node], j: int) -> Iterator[tuple[list[Any], str]]:
        """Yield (values, name) for each float variable or output with the shape of operand `j` of `nodes`.

        `values` is a list with the value of the variable or output in each iteration of the loop. If the transpose of
        a matrix has this shape, also yield the transpose.
        """
        own = tuple(content_key(n.operands[j]) for n in nodes)
        shapes = [np.shape(n.operands[j]) for n in nodes]
        for keys, (values, name) in self.arrays.get(len(nodes), {}).items():
            output = set(keys) <= self.outputs and keys != tuple(content_key(n.result) for n in nodes)
            if keys == own or values[0].dtype.kind != "f" or not (output or VARIABLE.match(name)):
                continue
            if [v.shape for v in values] == shapes:
                yield values, name
            if [v.T.shape for v in values] == shapes and values[0].ndim == 2:
                turned = [v.T for v in values]
                if tuple(content_key(v) for v in turned) != own:
                    yield turned, transpose_of(name)

    def is_possible(self, nodes: list[Node], j: int) -> bool:
        """Return True if a wrong gradient of one operand or result can explain all errors of backward.

        The arguments name the operand or result: operand `j` of the operations `nodes`, or their result if `j` is -1.
        """
        return self.can_be_wrong is None or (nodes[0].family, j) in self.can_be_wrong

    def single_edges(self) -> Iterator[tuple[list[Node], int, str | None]]:
        """Yield (nodes, j, name) for every operand and result, as `edges` does, but yield each array only once.

        If only one operation reads a result, `edges` yields this array twice: as the result of one operation, and as an
        operand of the next operation. `single_edges` yields the array only as an operand.
        """
        for nodes, j, only in self.edges():
            if j == -1:
                readers = [m for n in nodes for m in self.consumers.get(content_key(n.result), ())]
                if len(readers) == len(nodes) and len({m.family for m in readers}) == 1:
                    continue
            yield nodes, j, only

    def producer(self, array: Any, number: int) -> Node | None:
        """Return the last operation before operation `number` that computes `array`, or None."""
        made = [m for m in self.producers.get(content_key(array), ()) if m.number < number]
        return made[-1] if made else None

    def earlier_round(self, nodes: list[Node], k: int, j: int) -> Node | None:
        """Return the operation that computes operand `j` of ``nodes[k]`` in an earlier iteration of the loop, or None.

        If the operation runs only once, before the loop, it belongs to no iteration. Then return None.
        """
        made = self.producer(nodes[k].operands[j], nodes[k].number)
        if made is None or made.round >= nodes[k].round:
            return None
        return made if len(self.families[made.family]) > 1 or made.number > nodes[0].number else None

    def is_state_of_loop(self, nodes: list[Node], j: int) -> bool:
        """Return True if the last iteration reads an operand that an earlier iteration computed.

        Such an operand is a state. But a sum over the iterations, as in ``total += x``, is not a state.
        """
        made = self.earlier_round(nodes, -1, j) if j >= 0 else None
        return made is not None and made.family != nodes[0].family

    def variable_name(self, nodes: list[Node], j: int) -> str | None:
        """Return the name of the differentiated array that is operand `j` of all operations in `nodes`.

        Return None if the operand is another array, or if it is not the same array in all iterations.
        """
        names = {n.variables[j] for n in nodes} if j >= 0 else {None}
        return names.pop() if len(names) == 1 else None

    def edges(self, every: bool = False) -> Iterator[tuple[list[Node], int, str | None]]:
        """Yield (nodes, j, name) for every active operand, and for every result of an operation with an active operand.

        An operand is active if it depends on a differentiated array. `nodes` are the executions of one operation in all
        iterations of a loop, and `j` is the index of the operand, or -1 for the result. If the operand is a
        differentiated array, `name` is the name of this array, else None. If `every` is False, leave out the operands
        and results for which `is_possible` is False.
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
        """Return True if operand `j` of `nodes` is a state, such as the hidden state of a recurrent layer.

        A state comes from an earlier iteration, or is an input with the shape of an output.
        """
        if j < 0:
            return False
        if any(self.earlier_round(nodes, k, j) is not None for k in range(len(nodes))):
            return True
        name = self.variable_name(nodes, j)
        inputs = self.projection.adapter.float_inputs()
        if name not in inputs or inputs[name].ndim == 0:
            return False
        shapes = [y.shape for _, y in leaves("", self.projection.outputs) if is_array(y)]
        batch = [n for n, v in inputs.items() if v.ndim == 2 and v.shape[0] == inputs[name].shape[0]]
        return inputs[name].shape in shapes and len(batch) > 1

    def is_bias(self, nodes: list[Node], j: int) -> bool:
        """Return True if operand `j` of `nodes` is a bias: a differentiated array that forward adds with broadcasting.

        If forward computes with one example, its arrays are vectors, and a bias is not broadcast. Then a bias must meet
        two other conditions. Forward uses the array only in additions and subtractions. In the operations `nodes`, the
        other operand is a matrix product, or a sum that contains a matrix product.
        """
        name, node = self.variable_name(nodes, j), nodes[0]
        if name is None or node.name not in ("add", "subtract"):
            return False
        if np.ndim(node.operands[j]) < np.ndim(node.result):
            return True
        is_vector = node.result.size == max(node.result.shape, default=1)
        if np.shape(node.operands[j]) != node.result.shape or not is_vector or not self.is_affine(nodes, 1 - j):
            return False
        parameters = self.projection.adapter.parameters()
        only_added = all(n.name in ("add", "subtract") for n in self.nodes if name in n.variables)
        return only_added and (name in parameters or not parameters)

    def is_affine(self, nodes: list[Node], j: int) -> bool:
        """Return True if operand `j` of `nodes` is a matrix product, or a sum that contains a matrix product."""
        made = self.producer(nodes[0].operands[j], nodes[0].number)
        if made is None or made.name not in ("add", "matmul", "dot"):
            return False
        return made.name != "add" or any(self.is_affine([made], k) for k in range(2))

    def derivative_by_result(self, node: Node, v: Any, h: float = 1e-5) -> float:
        """Return the derivative of the weighted sum of the outputs if the result of `node` changes along `v`."""
        f = []
        for step in (h, -h):
            self.tape.changes = {node.number: lambda node, x, step=step: node.compute(*x) + step * v}
            try:
                f.append(self.tape.value())
            finally:
                self.tape.changes = {}
        return (f[0] - f[1]) / (2 * h)

    def describe(self, nodes: list[Node], j: int) -> str:
        """Return the source text of operand `j` of `nodes`, or of their result if `j` is -1, for the report."""
        if j >= 0:
            # In sum([a, b, c]), the operand has another name in each addition.
            names = list(dict.fromkeys(n.outer_names[j] for n in nodes))
            return ", ".join(f"`{name}`" for name in names[:MAX_NAMES]) + (", ..." if len(names) > MAX_NAMES else "")
        name = nodes[0].result_name
        return f"`{name}`" if name else f"the result of `{nodes[0].expression}`"

    def is_time_loop(self, count: int) -> bool:
        """Return True if a loop of `count` iterations runs over time.

        A loop runs over time if an iteration reads the result of an earlier iteration. It also runs over time if
        `count` is the length of a time axis: axis 1 of integer inputs, or the time axis of an output. A loop whose
        iterations have different weights runs over layers, not over time.
        """
        for nodes in self.families.values():
            columns = zip(*(n.variables for n in nodes), strict=True) if len(nodes) == count else ()
            if any(len(set(names) - {None}) > 1 for names in columns):
                return False  # every iteration has different weights: the loop runs over layers
        loop = [nodes for nodes in self.families.values() if len(nodes) == count]
        if any(self.is_state_of_loop(nodes, j) for nodes in loop for j in range(len(nodes[0].operands))):
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


def producers_of_operands(nodes: list[Node]) -> dict[int, list[Node | None]]:
    """Return {number of an operation: list of the operations that compute its operands}.

    The list has one item for each operand: an operation, or None if no operation computes this operand.
    """
    made: dict[tuple, Node] = {}
    found: dict[int, list[Node | None]] = {}
    for node in nodes:
        found[node.number] = [made.get(content_key(x)) if isinstance(x, np.ndarray) else None for x in node.operands]
        made[content_key(node.result)] = node
    return found


def reaching_families(tape: Tape, families: dict[tuple, list[Node]]) -> dict[tuple, list[Node]]:
    """Return the items of `families` in which at least one operation affects the output.

    All other operations compute values for backward. In a function that returns a loss and its gradient, the whole
    backward consists of such operations. The weighted sum f of the outputs does not depend on these operations. So no
    hypothesis about them can be right.
    """
    centre = tape.value()

    def affects_output(nodes: list[Node]) -> bool:
        tape.changes = {n.number: lambda node, x: 1e-3 + (1 + 1e-3) * node.compute(*x) for n in nodes}
        try:
            with np.errstate(all="ignore"):
                return tape.value() != centre
        except Exception:  # the checked code may raise any error for the changed values
            return True
        finally:
            tape.changes = {}

    low, high = 0, len(tape.nodes)  # the operations numbered high, high + 1, ... do not affect the output
    while low < high:
        middle = (low + high) // 2
        if affects_output(tape.nodes[middle:]):
            low = middle + 1
        else:
            high = middle
    return {k: nodes for k, nodes in families.items() if nodes[0].number < high and affects_output(nodes)}


def gradient_of_result(graph: ForwardGraph, node: Node) -> np.ndarray:
    """Measure the gradient of the weighted sum of the outputs with respect to the result of the operation `node`."""
    gradient = np.zeros(node.result.shape)
    for index in np.ndindex(gradient.shape):
        unit = np.zeros(gradient.shape)
        unit[index] = 1
        gradient[index] = graph.derivative_by_result(node, unit)
    return gradient


def name_of_result(node: Node) -> str:
    """Return the name of the variable to which the code assigns the result, or else the source of the expression."""
    return node.result_name or node.expression


def transpose_of(name: str) -> str:
    """Return the source of the transpose of an expression: w.T for w, w for w.T, and (a + b).T for a + b."""
    if not VARIABLE.match(name):
        return f"({name}).T"
    return name[:-2] if name.endswith(".T") else f"{name}.T"


def is_better_name(name: str, other: str) -> bool:
    """Return True if a message should use `name` instead of `other`.

    The best name is a variable such as h. The second best is an element such as h[0], and the worst is an expression.
    """
    ranks = [2 if n.isidentifier() else 1 if VARIABLE.match(n) else 0 for n in (name, other)]
    return ranks[0] > ranks[1]


def is_square(node: Node) -> bool:
    """Return True if both operands are the same array, as in x * x. Then both operands have the same derivative."""
    return (
        len(node.operands) == 2 and all(node.active) and content_key(node.operands[0]) == content_key(node.operands[1])
    )


def content_key(array: Any) -> tuple:
    """Return a key for the contents of an array. Arrays with the same shape and values have the same key."""
    a = np.ascontiguousarray(array)
    return a.shape, hash(a.tobytes())
