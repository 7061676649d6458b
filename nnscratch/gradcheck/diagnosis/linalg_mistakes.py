"""Hypotheses about inverses, solutions of linear equations, and determinants.

For example, forward computes ``Y = np.linalg.inv(A)``, and a student returns ``-Y @ dY @ Y`` instead of
``-Y.T @ dY @ Y.T``. To test this, forward is changed: np.linalg.inv gets the derivative that belongs to the wrong
formula. If the gradients of the changed forward equal the gradients from backward, the mistake is found.

The increment of an operand or a result is the array minus its value in the first forward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..tape import Node
from .forward_graph import ForwardGraph
from .hypotheses import Hypothesis

# For each operation: a list of (rank, mistake, description of the wrong backward, function). If the operands A and b
# change by dA and db, the function returns the change of the result in a changed forward. The gradient of this
# changed forward is the gradient that the wrong backward returns.
FORMULAS: dict[str, list[tuple[float, str, str, Callable]]] = {
    "solve": [
        (1.5, "transposed", "solves with A instead of A.T", lambda A, x, dA, db: np.linalg.solve(A.T, db - dA @ x)),
        (1.6, "a factor missing", "does not solve with A.T", lambda A, x, dA, db: db - dA @ x),
        (1.6, "multiplied instead of divided", "multiplies by A.T", lambda A, x, dA, db: A @ (db - dA @ x)),
        (1.6, "sign flipped", "flips the sign of dA", lambda A, x, dA, db: np.linalg.solve(A, db + dA @ x)),
        (1.7, "a path missing", "does not compute dA", lambda A, x, dA, db: np.linalg.solve(A, db)),
    ],
    "inv": [
        (1.5, "transposed", "uses inv(A) instead of inv(A).T on both sides", lambda A, Y, dA: -Y.T @ dA @ Y.T),
        (1.55, "transposed", "uses inv(A) instead of inv(A).T on the left", lambda A, Y, dA: -Y.T @ dA @ Y),
        (1.55, "transposed", "uses inv(A) instead of inv(A).T on the right", lambda A, Y, dA: -Y @ dA @ Y.T),
        (1.6, "sign flipped", "flips the sign", lambda A, Y, dA: Y @ dA @ Y),
        (1.6, "a factor missing", "multiplies by inv(A).T only on the left", lambda A, Y, dA: -Y @ dA),
        (1.6, "a factor missing", "multiplies by inv(A).T only on the right", lambda A, Y, dA: -dA @ Y),
    ],
    "det": [
        (1.5, "transposed", "uses inv(A) instead of inv(A).T", lambda A, y, dA: y * np.trace(inverse(A).T @ dA)),
        (1.6, "a factor missing", "leaves out the determinant", lambda A, y, dA: np.trace(inverse(A) @ dA)),
        (1.6, "a factor missing", "leaves out inv(A).T", lambda A, y, dA: y * dA.sum()),
    ],
}


def inverse(A: Any) -> Any:
    """Return the inverse of a matrix."""
    return np.linalg.inv(A)


def linalg_mistakes(graph: ForwardGraph) -> Iterator[Hypothesis]:
    """Yield hypotheses about the operations of numpy.linalg in forward."""
    for nodes in graph.families.values():
        for rank, mistake, text, increment in FORMULAS.get(nodes[0].name, ()):
            changes = {n.number: with_increment(increment) for n in nodes}
            evidence = f"the backward of {nodes[0].name}({', '.join('Ab'[: len(nodes[0].operands)])}) {text}"
            yield Hypothesis(rank, mistake, evidence, nodes[0].place, changes)


def with_increment(increment: Callable) -> Callable:
    """Return a function for `Tape.changes` that computes an operation with a wrong derivative.

    ``increment(A, result, dA)`` or ``increment(A, result, dA, db)`` returns the wrong increment of the result. Here dA
    and db are the increments of the operands: the operands minus their values in the first forward pass.
    """

    def changed(node: Node, operands: list[Any]) -> Any:
        moved = [np.asarray(x) - x0 for x, x0 in zip(operands, node.operands, strict=True)]
        return node.result + increment(node.operands[0], node.result, *moved)

    return changed
