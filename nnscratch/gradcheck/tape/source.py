"""Find the user's code of an operation: the file, the line, the expression, and the source text of each operand."""

from __future__ import annotations

import ast
import linecache
import os
import sys
from types import CodeType
from typing import Any

import numpy as np

GRADCHECK = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NUMPY = os.path.dirname(os.path.abspath(np.__file__))


def calling_code(operation: str, count: int, entry: CodeType) -> tuple[tuple, str, list[str]]:
    """Return the user's line of code that called the running operation.

    Parameters
    ----------
    operation : str
        The name of the operation. It is used if there is no source text.
    count : int
        The number of operands.
    entry : code
        The code of the function that started forward. Its callers are not inspected.

    Returns
    -------
    (tuple, str, list of str)
        The positions of all calls on the way to the operation; "file.py:12: expression"; the source of each operand.
    """
    frame, calls, user_frame, caller = sys._getframe(2), [], None, None
    while frame is not None and frame.f_code is not entry:
        file = frame.f_code.co_filename
        if not file.startswith(GRADCHECK + os.sep):
            calls.append((file, frame.f_code.co_name, frame.f_lasti))
            if user_frame is None and not file.startswith(NUMPY):
                user_frame = frame
            elif user_frame is not None and caller is None and file == user_frame.f_code.co_filename:
                caller = frame
        frame = frame.f_back
    if user_frame is None:
        return tuple(calls), operation, [f"operand {j + 1}" for j in range(count)]
    expression, operand_names = expression_at(user_frame, count)
    place = f"{os.path.basename(user_frame.f_code.co_filename)}:{user_frame.f_lineno}"
    place += f" from {caller.f_lineno}" if caller is not None else ""
    return tuple(calls), f"{place}: {expression}", operand_names


def expression_at(frame: Any, count: int) -> tuple[str, list[str]]:
    """Return the source of the operation that `frame` is executing, and the source of its operands."""
    operand_names = [f"operand {j + 1}" for j in range(count)]
    line, last, start, stop = list(frame.f_code.co_positions())[frame.f_lasti // 2]
    text = linecache.getline(frame.f_code.co_filename, line) if line else ""
    if line != last or start is None or not text:
        return " ".join(text.split()), operand_names
    source = text.encode()[start:stop].decode()
    try:
        tree = ast.parse(source).body[0]
    except (SyntaxError, IndexError):
        return source, operand_names
    value = tree.value if isinstance(tree, ast.Expr) else tree
    if isinstance(value, ast.BinOp):
        parts = [value.left, value.right]
    elif isinstance(value, ast.AugAssign):
        parts = [value.target, value.value]
    elif isinstance(value, ast.UnaryOp):
        parts = [value.operand]
    elif isinstance(value, ast.Call):
        method = isinstance(value.func, ast.Attribute) and ast.unparse(value.func.value) not in ("np", "numpy", "xp")
        parts = ([value.func.value] if method else []) + list(value.args)
        if parts and isinstance(parts[0], (ast.Tuple, ast.List)) and len(parts[0].elts) == count:
            parts = list(parts[0].elts)  # np.concatenate((a, b), axis=1)
    else:
        parts = []
    for j, part in enumerate(parts[:count]):
        operand_names[j] = ast.unparse(part)
    return source, operand_names
