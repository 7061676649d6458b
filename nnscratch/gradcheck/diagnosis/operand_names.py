"""Name the operands that the source of an operation does not show.

There are two such cases. If ``exec`` runs a string, there is no source text. If a library runs the operation, the
source shows only the call: ``x.var(axis=0)`` runs six operations, and only the first one reads x. In both cases, an
operand gets the name of a differentiated array, or a formula such as ``sum(x) / 4``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..tape import Node
from ..tape.source import NUMPY

SYMBOLS = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/", "matmul": "@", "power": "**"}
REDUCTIONS = {"add.reduce": "sum", "multiply.reduce": "prod", "maximum.reduce": "max", "minimum.reduce": "min"}
MAX_LENGTH = 50  # the largest number of characters in a formula


def name_operands(nodes: list[Node], producers: dict[int, list[Node | None]]) -> None:
    """Give a name to each operand that has none, and a formula to each of the operations `nodes` without source text.

    The keys of `producers` are the numbers of the operations. A value is a list with one item for each operand: the
    operation that computes this operand, or None.
    """
    formulas: dict[int, str] = {}
    for node in nodes:
        for j, made in enumerate(producers[node.number]):
            unknown = node.operand_names[j] == f"operand {j + 1}"
            same_call = made is not None and users_calls(node) == users_calls(made)
            if made is not None and same_call and is_inside_numpy(node):
                # In v = x.var(), the user's variable v gets the result of the last operation. `made` is an earlier one.
                name, made.result_name = formulas[made.number], None
            elif made is not None and unknown:
                name = made.expression if same_call else made.result_name or formulas[made.number]
            elif unknown:
                name = name_of_source(node, j)
            else:
                continue
            node.operand_names[j] = node.outer_names[j] = name
        formulas[node.number] = formula(node.name, node.operand_names)
        if node.place.endswith(": "):
            node.place += formulas[node.number]


def is_inside_numpy(node: Node) -> bool:
    """Return True if a function of NumPy, such as `np.var`, runs the operation."""
    return node.family[2][0].startswith(NUMPY)


def users_calls(node: Node) -> list[tuple]:
    """Return (file, function, position) for each call that leads to an operation, except calls in NumPy's files."""
    return [call for call in node.family[2:] if not call[0].startswith(NUMPY)]


def name_of_source(node: Node, j: int) -> str:
    """Return a name for operand `j` of `node`, if no recorded operation computes this operand."""
    value: Any = node.operands[j]
    if node.variables[j] is not None:
        return str(node.variables[j]) if node.whole[j] else f"{node.variables[j]}[...]"
    if np.size(value) == 1 and np.asarray(value).dtype.kind in "fiub":
        return f"{np.asarray(value).item():.4g}"
    return f"operand {j + 1} of {node.expression or node.name}"


def formula(operation: str, names: list[str]) -> str:
    """Return an operation as a formula, for a report.

    Examples
    --------
    >>> formula("matmul", ["x", "w"]), formula("add", ["x @ w", "b"]), formula("add.reduce", ["h"])
    ('x @ w', '(x @ w) + b', 'sum(h)')
    >>> formula("multiply", ["x - sum(x)", "sum(x, w)"])
    '(x - sum(x)) * sum(x, w)'
    """
    if operation in SYMBOLS and len(names) == 2:
        found = f" {SYMBOLS[operation]} ".join(f"({n})" if has_outer_space(n) else n for n in names)
    elif operation in ("negative", "square") and len(names) == 1:
        found = f"-({names[0]})" if operation == "negative" else f"({names[0]}) ** 2"
    else:
        found = f"{REDUCTIONS.get(operation, operation)}({', '.join(names)})"
    return found if len(found) <= MAX_LENGTH else f"{REDUCTIONS.get(operation, operation)}(...)"


def has_outer_space(text: str) -> bool:
    """Return True if the text contains a space outside of all brackets, as ``x - sum(x)`` does."""
    depth = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if character == " " and depth == 0:
            return True
    return False
