"""Hypotheses: the derivative of a product has a wrong factor, or blocks of a gradient are exchanged.

    u v             to compute the gradient of u, backward uses 1, v transposed, or a wrong array instead of v
    x / s           backward uses a wrong power of s
    (a, b, c, d)    the gradients of the blocks, such as gates, are in a wrong order

For example, forward computes ``y = x @ W`` with a square W, and a student writes ``dx = dy @ W`` instead of
``dx = dy @ W.T``. To test this, forward is changed: the derivative of ``x @ W`` with respect to x gets the wrong
factor. If the gradients of the changed forward equal the gradients from backward, the mistake is found.

The increment of an operand or a result is the array minus its value in the first forward pass. In a report, an
iteration of a loop is called a round.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain, permutations
from typing import Any

import numpy as np

from ..tape import Node, change_path, increment, replace_factor
from .array_mistakes import other_orders, wrong_order
from .forward_graph import ForwardGraph, content_key, transpose_of
from .hypotheses import Hypothesis
from .random_masks import is_random_mask
from .state_mistakes import neighbouring_rounds

PRODUCT_OPERATIONS = {"multiply", "matmul", "dot", "einsum", "divide", "tensordot", "outer", "inner"}
AXES = {"einsum", "tensordot", "matmul"}  # these products may have arrays with more than two axes


def wrong_factors(graph: ForwardGraph) -> Iterator[Hypothesis]:
    """Yield hypotheses about products in forward.

    For a product u v, the gradient of u contains the factor v. In the hypotheses, backward uses a wrong factor, for
    example 1 or the transpose of v.
    """
    for nodes in graph.families.values():
        node = nodes[0]
        if node.name not in PRODUCT_OPERATIONS:
            continue
        operand_numbers = [j for j, x in enumerate(node.operands) if isinstance(x, (np.ndarray, float, int))]
        if len(operand_numbers) != 2:
            continue
        if node.name == "multiply" and all(
            all(n.active) and len({np.shape(x) for x in n.operands}) == 1 for n in nodes
        ):
            own = {n.number: with_own_factors for n in nodes}
            words = f"backward gives each factor of `{node.place.split(': ', 1)[-1]}` the gradient of the other factor"
            yield Hypothesis(1.6, "two gradients exchanged", words, node.place, own)
        for j, other in (tuple(operand_numbers), tuple(operand_numbers[::-1])):
            if node.name == "divide" and j == operand_numbers[1]:
                continue
            if not graph.is_possible(nodes, j):
                continue
            if any(n.active[j] for n in nodes) and isinstance(node.operands[other], np.ndarray):
                yield from alternative_factors(graph, nodes, j, other)
                layers = len({n.variables[j] for n in nodes} - {None})
                # If each iteration of a loop uses another weight, the iterations are the layers of a network. The
                # mistake may be in one layer only.
                for n in nodes if layers == len(nodes) > 1 else ():
                    yield from alternative_factors(graph, [n], j, other)


Factor = tuple[float, str, str, list[Any]]  # rank, mistake, words, and the wrong factor in each iteration


def alternative_factors(graph: ForwardGraph, nodes: list[Node], j: int, other: int) -> Iterator[Hypothesis]:
    """Yield hypotheses about the product of two operands, `j` and `other`.

    The gradient of operand `j` contains the operand `other` as a factor. In the hypotheses, backward uses a wrong
    factor. `nodes` are the operations that compute the product, one for each iteration of a loop.
    """
    node, only = nodes[0], graph.variable_name(nodes, j)
    right = [np.asarray(n.operands[other], dtype=float) for n in nodes]  # the right factor in each iteration
    start = f"to compute the gradient of `{node.operand_names[j]}`, backward"
    for rank, mistake, words, values in chain(
        mask_factors(graph, node, other, right) if are_masks(right) else powers_of_factor(node, other, right),
        reordered_factors(node, other, right),
        other_arrays(graph, nodes, other, right),
    ):
        changes = {n.number: replace_factor(j, other, v) for n, v in zip(nodes, values, strict=True)}
        yield Hypothesis(rank, mistake, f"{start} {words}", node.place, changes, only)
    if node.name in ("matmul", "dot") and node.result.ndim == 2 and len(set(node.result.shape)) == 1:
        turned_result = {n.number: transpose_increment(j) for n in nodes}
        words = f"{start} transposes the gradient of `{node.place.split(': ', 1)[-1]}`"
        yield Hypothesis(2.2, "transposed", words, node.place, turned_result, only)


def are_masks(values: list[Any]) -> bool:
    """Return True if all elements of all arrays are 0 or one positive number, and at least one element is 0."""
    top = max(v.max() for v in values)
    return top > 0 and all(((v == 0) | (v == top)).all() for v in values) and any((v == 0).any() for v in values)


def mask_factors(graph: ForwardGraph, node: Node, other: int, right: list[Any]) -> Iterator[Factor]:
    """Yield wrong factors that backward may use instead of a mask, which is the operand `other` of `node`.

    `right` contains the mask in each iteration.
    """
    factor, top = node.operand_names[other], float(max(v.max() for v in right))
    yield 1.2, "mask not applied", f"replaces `{factor}` by 1", [np.ones_like(v) for v in right]
    yield 1.25, "mask not applied", f"replaces `{factor}` by {top:.4g}", [0 * v + top for v in right]
    if abs(top - 1) > 1e-6:
        bare = [v / top for v in right]
        mask = next(v for v in right if (v == 0).any())
        if is_random_mask(graph.projection, mask, factor):
            yield 1.2, "keep-probability not applied", f"replaces `{factor}` by a mask of 0 and 1", bare
        else:
            scale = scale_of_mask(graph, node, other) or f"{top:.4g}"
            yield 1.2, "a factor missing", f"leaves out the factor {scale}", bare
    yield 1.3, "mask inverted", f"replaces `{factor}` by the inverted mask", [top - v for v in right]


def powers_of_factor(node: Node, other: int, right: list[Any]) -> Iterator[Factor]:
    """Yield wrong factors for an elementwise product or quotient: 1, the square of `right`, and 1 / right."""
    if node.name not in ("multiply", "divide"):
        return
    replaces = f"replaces `{node.operand_names[other]}` by"
    yield 2.4, "a factor missing", f"{replaces} 1", [np.ones_like(v) for v in right]
    yield 4.5, "a factor applied twice", f"{replaces} its square", [v**2 for v in right]
    if all(v.all() for v in right):
        name = "multiplied instead of divided" if node.name == "divide" else "divided instead of multiplied"
        yield 4.6, name, f"{replaces} its inverse", [1 / v for v in right]


def reordered_factors(node: Node, other: int, right: list[Any]) -> Iterator[Factor]:
    """Yield wrong factors: the identity matrix, and the transposes of `right` that have the same shape as `right`."""
    factor, first = node.operand_names[other], right[0]
    is_matrix_product = node.name in ("matmul", "dot")
    if node.name not in ("multiply", "divide") and first.ndim == 2 and first.shape[0] == first.shape[1]:
        words = f"confuses `{factor}` and `{transpose_of(factor)}`"
        if is_matrix_product:  # the gradient needs the transpose of the factor
            words = f"multiplies by `{factor}` instead of `{transpose_of(factor)}`"
        yield 2, "transposed", words, [v.T for v in right]
        if is_matrix_product:
            yield (
                2.4,
                "a factor missing",
                f"replaces `{factor}` by the identity matrix",
                [np.eye(len(v)) for v in right],
            )
    for order in permutations(range(first.ndim)) if node.name in AXES and first.ndim in (3, 4) else ():
        if order != tuple(range(first.ndim)) and tuple(first.shape[a] for a in order) == first.shape:
            words = f"confuses `{factor}` and `{factor}.transpose{order}`"
            yield 2, "transposed", words, [v.transpose(order) for v in right]


def other_arrays(graph: ForwardGraph, nodes: list[Node], other: int, right: list[Any]) -> Iterator[Factor]:
    """Yield arrays that backward may wrongly use instead of `right`: 1 - right, right[::-1], and arrays of forward."""
    factor = nodes[0].operand_names[other]
    replaces = f"replaces `{factor}` by"
    complement = [1 - v for v in right]
    if all(content_key(v) in graph.producers for v in complement):
        yield 4, "the wrong array used", f"{replaces} `1 - {factor}`", complement
    for values, expression in sums_with_other_sign(graph, nodes, other):
        yield 2.9, "sign flipped", f"{replaces} `{expression}`", values
    for axis in range(right[0].ndim):
        if right[0].shape[axis] > 1 and right[0].size < 1000:
            words = f"{replaces} its reverse along axis {axis}"
            yield 3.1, "axes reversed", words, [np.flip(v, axis) for v in right]
    for values, expression in without_bias(graph, nodes, other):
        yield 2.8, "bias's share missing", f"{replaces} {expression}", values
    for k, word in ((0, "first"), (-1, "last")) if len(right) > 1 else ():
        if all(v.shape == right[k].shape for v in right) and any((v != right[k]).any() for v in right):
            words = f"{replaces} its value in the {word} round, in every round"
            yield 4, "the wrong array used", words, [right[k]] * len(right)
    for values, expression in neighbouring_rounds(right, state_after(graph, nodes, other)):
        yield 4, "the wrong array used", f"{replaces} {expression}", values
    for values, expression in graph.arrays_like_operand(nodes, other):
        instead = f"`{expression}`" if expression != factor else f"another array with the name `{factor}`"
        yield 4, "the wrong array used", f"{replaces} {instead}", values


def scale_of_mask(graph: ForwardGraph, node: Node, other: int) -> str:
    """Return the source of the number by which forward multiplies a mask, or "" if this number is not known.

    The mask is the operand `other` of the operation `node`.
    """
    made = graph.producer(node.operands[other], node.number)
    if made is None or made.name not in ("multiply", "divide"):
        return ""
    numbers = [name for x, name in zip(made.operands, made.operand_names, strict=True) if np.size(x) == 1]
    by = "1 / " if made.name == "divide" else ""
    return f"`{by}{numbers[0]}` of `{node.operand_names[other]}`" if len(numbers) == 1 else ""


def with_own_factors(node: Node, operands: list[Any]) -> Any:
    """Compute a product u v that increases by u du + v dv if u increases by du, and v increases by dv.

    This increase is wrong. The right increase is v du + u dv.
    """
    return node.result + sum(x0 * (x - x0) for x0, x in zip(node.operands, operands, strict=True))


def transpose_increment(j: int) -> Callable:
    """Return a function for `Tape.changes`: an operation with a wrong derivative with respect to operand `j`.

    If a change of operand `j` changes the right result by D, it changes the result of this operation by D.T. So the
    result must be a square matrix.
    """

    def changed(node: Node, operands: list[Any]) -> Any:
        still, moving = list(operands), list(node.operands)
        still[j], moving[j] = node.operands[j], increment(operands[j], node.operands[j])
        return node.compute(*still) + node.compute(*moving).T

    return changed


def state_after(graph: ForwardGraph, nodes: list[Node], j: int) -> Any:
    """Return the value that operand `j` has after the last iteration of a loop. Return None if it is not a state."""
    made = graph.producer(nodes[-1].operands[j], nodes[-1].number)
    if made is None or made.round >= nodes[-1].round:
        return None
    makers = graph.families[made.family]
    return np.asarray(makers[made.round + 1].result, dtype=float) if made.round + 1 < len(makers) else None


def sums_with_other_sign(graph: ForwardGraph, nodes: list[Node], other: int) -> Iterator[tuple[list[Any], str]]:
    """Yield (values in each iteration, source): a - b if the operand `other` is a + b, and a + b if it is a - b."""
    values, expression = [], ""
    for node in nodes:
        made = graph.producer(node.operands[other], node.number)
        if made is None or made.name not in ("add", "subtract"):
            return
        a, b = made.operands
        values.append(a - b if made.name == "add" else a + b)
        expression = f" {'-' if made.name == 'add' else '+'} ".join(made.operand_names)
    yield values, expression


def without_bias(graph: ForwardGraph, nodes: list[Node], other: int) -> Iterator[tuple[list[Any], str]]:
    """Yield (values in each iteration, source) of the operand `other` without its bias.

    The operand must be a sum with a bias, or a block of such a sum. Otherwise, yield nothing.
    """
    right = [n.operands[other] for n in nodes]
    for sums in graph.families.values():
        for b in range(len(sums[0].operands)):
            if len(sums) != len(nodes) or not graph.is_bias(sums, b):
                continue
            width = right[0].shape[-1] if right[0].ndim else 1
            for start in range(0, sums[0].result.shape[-1], width):
                block = (..., slice(start, start + width))
                if all(content_key(s.result[block]) == content_key(v) for s, v in zip(sums, right, strict=True)):
                    yield (
                        [s.operands[1 - b][block] for s in sums],
                        f"`{sums[0].operand_names[1 - b]}`, without the bias `{sums[0].operand_names[b]}`",
                    )


def wrong_powers(graph: ForwardGraph) -> Iterator[Hypothesis]:
    """Yield hypotheses about x / s: in its derivative with respect to s, -x / s^2, backward uses a wrong power of s."""
    for nodes, j, only in graph.edges():
        if nodes[0].name == "divide" and j == 1:
            divisor, place = graph.describe(nodes, j), nodes[0].place
            for power, mistake in (
                (1, "a factor missing"),
                (-1, "a factor applied twice"),
                (2, "a factor missing"),
                (-2, "a factor applied twice"),
                (3, "a factor missing"),
            ):
                other = {n.number: change_path(j, partial(np.multiply, n.operands[j] ** float(power))) for n in nodes}
                exponent = f"{divisor} to the power {power - 2}, not -2"
                evidence = f"backward computes as if the derivative with respect to {divisor} contained {exponent}"
                yield Hypothesis(4.4 + 0.01 * abs(power), mistake, evidence, place, other, only)


def swapped_blocks(graph: ForwardGraph) -> Iterator[Hypothesis]:
    """Yield hypotheses in which the gradients of 3 or 4 blocks of a result, such as gates, are in a wrong order."""
    for nodes, j, _ in graph.edges():
        shape = nodes[0].result.shape
        if j != -1 or len(shape) < 2 or nodes[0].name not in ("add", "matmul", "dot"):
            continue
        for count in (4, 3):
            size, rest = divmod(shape[-1], count)
            if rest or not any(size in v.shape for v in graph.projection.variables.values()) or size < 2:
                continue
            blocks = np.arange(shape[-1]).reshape(count, size)
            for order in other_orders(count):
                # If block number k of the result changes, the changed forward changes block number order[k] instead.
                columns = blocks[np.argsort(order)].ravel()
                moved = {n.number: change_path(-1, lambda d, c=columns: d[..., c]) for n in nodes}
                where = f"in the gradient of {graph.describe(nodes, -1)}, split into {count} blocks of {size} columns"
                rank, mistake, evidence = wrong_order(order, where)
                yield Hypothesis(rank, mistake, evidence, nodes[0].place, moved)
