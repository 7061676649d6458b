"""Change the derivative of one operation: functions for :attr:`Tape.changes`.

Let u0 and v0 be the operands and y0 the result in the first run of forward. In a later run, the operands are u and v.
The increment of an operand is u - u0, and the increment of the result is y - y0. If all operands are the same as in the
first run, a changed operation still has the result y0. Otherwise, each change gives the result another increment:

    change_path                 u is replaced by u0 + L(u - u0) with a function L. If L multiplies by 0, no gradient
                                passes through u. If L multiplies by -1, this gradient has the wrong sign
    replace_factor              u v is replaced by u0 v + (u - u0) v': the gradient of u contains v' instead of v
    replace_slope               y(u) is replaced by y0 + g (u - u0): the derivative of y is g
    replace_upstream_by_ones    the gradient of the result is 1, instead of the gradient that comes from the output

Each function here returns a change: a function of (node, operands) that computes the changed operation. `node` is the
operation in the first run, and `operands` are the values of its operands in the current run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .tape import Node, Tape


def increment(value: Any, before: Any) -> Any:
    """Return ``value - before``, but 0 where both are the same infinity, as in scores that are masked with -inf."""
    with np.errstate(invalid="ignore"):
        moved = value - before
    return moved if np.isfinite(moved).all() else np.where(value == before, 0.0, moved)


def change_path(j: int, L: Callable) -> Callable:
    """Return a function for `Tape.changes` that computes an operation with another increment of operand `j`.

    The increment is the difference from the value in the first run, and is replaced by ``L(increment)``. If `j` is -1,
    the increment of the result is replaced instead.
    """

    def changed(node: Node, operands: list[Any]) -> Any:
        if j == -1:
            return node.result + L(increment(node.compute(*operands), node.result))
        operands = list(operands)
        moved = increment(operands[j], node.operands[j])
        for i in range(len(operands)):
            same = node.active[i] and np.array_equal(node.operands[i], node.operands[j])  # one array, as in x * x
            if i == j or same:
                operands[i] = node.operands[i] + L(moved)
        return node.compute(*operands)

    return changed


def replace_factor(j: int, other: int, value: Any) -> Callable:
    """Return a function for `Tape.changes` that computes a product u v with a wrong gradient of u.

    This gradient contains `value` instead of v. `j` is the index of the operand u, and `other` is the index of the
    operand v.
    """

    def changed(node: Node, operands: list[Any]) -> Any:
        still, moving = list(operands), list(node.operands)
        still[j] = node.operands[j]
        moving[j], moving[other] = increment(operands[j], node.operands[j]), value
        return node.compute(*still) + node.compute(*moving)

    return changed


def record_operand(tape: Tape, j: int) -> Callable:
    """Return a function for `Tape.changes` that stores how much operand `j` differs from its value in the first run.

    `replace_slope` uses the stored difference. The result of the operation stays the same.
    """

    def changed(node: Node, operands: list[Any]) -> Any:
        tape.recorded[node.number, j] = increment(operands[j], node.operands[j])
        return node.compute(*operands)

    return changed


def replace_slope(tape: Tape, source: tuple[int, int], derivative: Callable) -> Callable:
    """Return a function for `Tape.changes` that computes an operation y(u) with another derivative.

    The result is y0 + derivative(u - u0), where u0 and y0 are the values of u and y in the first run. For example, if
    ``derivative(m)`` returns ``g * m``, the changed operation has the slope g.

    `source` is (number of an operation, index of its operand), and shows which operation reads u. This is the changed
    operation or an earlier operation. For an earlier operation, `record_operand` must store u - u0.
    """

    def changed(node: Node, operands: list[Any]) -> Any:
        if source[0] == node.number:
            tape.recorded[source] = increment(operands[source[1]], node.operands[source[1]])
        return node.result + derivative(tape.recorded[source])

    return changed


def replace_upstream_by_ones(tape: Tape) -> Callable:
    """Return a function for `Tape.changes` that makes the gradient of the result 1 at every element.

    It adds the sum of ``result - first_result`` to f, where `first_result` is the result of the first run. All later
    operations use `first_result`, so they add nothing to the gradient.
    """

    def changed(node: Node, operands: list[Any]) -> Any:
        tape.added += float(np.sum(increment(node.compute(*operands), node.result)))
        return node.result

    return changed
