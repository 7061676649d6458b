"""Changes of a statement of backward, such as ``+=`` for ``=``, a different index, or a loop in reversed order.

For example, the loop of backward contains ``dW = x[t].T @ dz``, so dW is the gradient of one time step only. With
``dW += x[t].T @ dz``, the gradient is right, so the statement contains the mistake. edits.py adds these changes to its
changes of single expressions, and backward_edits.py tries them all.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

import numpy as np

Place = tuple[Any, str, int | None]  # a field of a node, or an element of this field: getattr(parent, field)[index]
BLOCKS = ("body", "orelse", "finalbody")


def statement_edits(
    definition: ast.FunctionDef, known: dict[str, Any]
) -> Iterator[tuple[float, str, str, ast.stmt, Place, Any]]:
    """Yield (rank, mistake, words, statement, place, new node) for each change of a statement.

    `words` is a text for the report. `place` says which node of the syntax tree the new node replaces. The argument
    `known` contains the arrays and numbers that the function uses. The keys are their names.
    """
    looped = {id(n) for loop in ast.walk(definition) if isinstance(loop, (ast.For, ast.While)) for n in ast.walk(loop)}
    for parent in ast.walk(definition):
        for field in BLOCKS:
            block = getattr(parent, field, None)
            for index, statement in enumerate(block if isinstance(block, list) else ()):
                for rank, mistake, words, new in other_assignments(statement, id(statement) in looped):
                    yield rank, mistake, words, statement, (parent, field, index), new
                if isinstance(statement, ast.For):
                    words, place = "the rounds of the loop must run in the reverse order", (statement, "iter", None)
                    # There are only few such changes, so test them first: the budget of the search may end before all
                    # other changes are tested.
                    yield -0.001, "loop in the wrong order", words, statement, place, reverse_of(statement)
                for place, new in other_indices(statement, known):
                    yield 0.035, "the wrong array used", "the index `:` is wrong", statement, place, new


def other_assignments(statement: ast.stmt, in_loop: bool) -> Iterator[tuple[float, str, str, ast.stmt]]:
    """Yield the statement with ``+=`` instead of ``=``, or with ``=`` instead of ``+=``."""
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        (target,) = statement.targets
        item = isinstance(target, ast.Subscript)
        if item or (in_loop and isinstance(target, (ast.Name, ast.Attribute))):
            mistake = "rows met twice counted once" if item else "only the last round of the loop counted"
            if isinstance(statement.value, (ast.Constant, ast.UnaryOp)):  # for example, dy[target] = -1
                mistake = "a path missing"
            words = f"`=` overwrites the earlier terms of `{ast.unparse(target)}`"
            yield 0.025, mistake, words, ast.AugAssign(target, ast.Add(), statement.value)
    elif isinstance(statement, ast.AugAssign) and isinstance(statement.op, ast.Add) and in_loop:
        words = f"`+=` keeps an old value of `{ast.unparse(statement.target)}` that does not belong"
        yield 0.035, "accumulator not reset", words, ast.Assign([statement.target], statement.value)


def reverse_of(loop: ast.For) -> ast.expr:
    """Return an expression with the items of a loop in the reverse order.

    The expression is a list comprehension, and not ``[*items]``: the items may never end, as those of
    ``itertools.count()``. changed_functions.py stops a run after too many lines. This stops a comprehension, but it
    does not stop ``[*items]``.

    Examples
    --------
    >>> loops = ast.parse("for t in range(T): pass\\nfor t in reversed(range(T)): pass").body
    >>> [ast.unparse(reverse_of(loop)) for loop in loops]
    ['[item for item in range(T)][::-1]', 'range(T)']
    """
    items = loop.iter
    if isinstance(items, ast.Call) and ast.unparse(items.func) == "reversed" and len(items.args) == 1:
        return items.args[0]
    item = ast.comprehension(ast.Name("item", ast.Store()), items, [], 0)
    every = ast.ListComp(ast.Name("item", ast.Load()), [item])
    return ast.Subscript(every, ast.Slice(None, None, ast.UnaryOp(ast.USub(), ast.Constant(1))), ast.Load())


def header(statement: ast.stmt) -> str:
    """Return the source of a statement; for a loop, only its first line.

    Examples
    --------
    >>> [header(statement) for statement in ast.parse("for t in range(T):\\n    h = t\\ny = h").body]
    ['for t in range(T):', 'y = h']
    """
    if isinstance(statement, ast.For):
        return f"for {ast.unparse(statement.target)} in {ast.unparse(statement.iter)}:"
    return ast.unparse(statement)


def other_indices(statement: ast.stmt, known: dict[str, Any]) -> Iterator[tuple[Place, ast.expr]]:
    """For ``d[:, y] -= 1`` with labels y, yield (place, new node) to replace the colon by ``range(len(y))``."""
    targets = [statement.target] if isinstance(statement, ast.AugAssign) else getattr(statement, "targets", [])
    for target in targets:
        if not isinstance(target, ast.Subscript) or not isinstance(target.slice, ast.Tuple):
            continue
        whole = [k for k, n in enumerate(target.slice.elts) if isinstance(n, ast.Slice) and ast.unparse(n) == ":"]
        labels = [text for text in map(ast.unparse, target.slice.elts) if is_labels(known.get(text))]
        if len(whole) == len(labels) == 1:
            yield (target.slice, "elts", whole[0]), ast.parse(f"range(len({labels[0]}))", mode="eval").body


def is_labels(value: Any) -> bool:
    """Return True for a one-dimensional array of integers."""
    return isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in "iu"
