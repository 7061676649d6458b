"""Find the positions of expressions in the syntax tree of backward, for edits.py. A `Slot` is one such position."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass
class Slot:
    """The position of an expression in the syntax tree: a field of the node `parent`, or an element of this field."""

    parent: Any
    field: str
    index: int | None

    @property
    def node(self) -> Any:
        """The expression at this position."""
        value = getattr(self.parent, self.field)
        return value if self.index is None else value[self.index]

    def put(self, node: Any) -> None:
        """Replace the expression at this position by `node`."""
        if self.index is None:
            setattr(self.parent, self.field, node)
        else:
            getattr(self.parent, self.field)[self.index] = node


def slots(parent: Any) -> Iterator[Slot]:
    """Yield the position of each expression that a statement reads. Leave out the names of functions that it calls."""
    for field, value in ast.iter_fields(parent):
        if field in ("target", "targets", "annotation"):
            continue
        for index, node in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if isinstance(node, ast.expr):
                method = field == "func" and isinstance(node, ast.Attribute)  # do not leave out the dy of dy.sum()
                if field != "func":
                    yield Slot(parent, field, index)
                if method or isinstance(node, ast.Attribute) and node.attr == "T":
                    yield Slot(node, "value", None)
                if not is_chain(node):
                    yield from (slots(node.value) if method else slots(node))
            elif isinstance(node, ast.keyword):
                yield from slots(node)


def is_chain(node: Any) -> bool:
    """Return True for a name or for attributes of a name, such as self.weight.data."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, ast.Name)


def index_slots(statement: ast.stmt) -> Iterator[Slot]:
    """Yield the positions of the expressions inside the brackets on the left side of an assignment.

    For ``dx[i + j] += dy``, these are the positions of ``i + j``, ``i`` and ``j``.
    """
    targets = [statement.target] if isinstance(statement, ast.AugAssign) else getattr(statement, "targets", [])
    for subscript in [n for target in targets for n in ast.walk(target) if isinstance(n, ast.Subscript)]:
        yield from (slot for slot in slots(subscript) if slot.node is not subscript.value)
