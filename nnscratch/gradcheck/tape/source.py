"""Find the user's code that calls an operation: the file, the line, the expression, and the source of each operand."""

from __future__ import annotations

import ast
import linecache
import os
import re
import sys
from dataclasses import dataclass, field
from functools import lru_cache
from types import CodeType, ModuleType
from typing import Any

import numpy as np

GRADCHECK = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TAPE = os.path.dirname(os.path.abspath(__file__))
NUMPY = os.path.dirname(os.path.abspath(np.__file__))


@dataclass
class Source:
    """The user's code behind an operation.

    Attributes
    ----------
    family : tuple
        The operation, and the positions of all calls that lead to the operation. In a loop, all executions of an
        operation have the same family.
    place : str
        "file.py:12: the expression".
    operand_names : list of str
        The source text of each operand, such as "x[t]".
    result_name : str or None
        The variable to which the code assigns the result.
    outer_names : list of str
        The same as `operand_names`, but with the names in the caller of the function. For example, if the function
        ``affine(a, w)`` computes ``a @ w`` and is called as ``affine(x, self.W)``, the names are "x" and "self.W".
        A long source is not used: see `name_in_caller`.
    call : str
        The source of the call that runs the function, such as "softplus(-x)", or "" if it is not known.
    """

    family: tuple
    place: str
    operand_names: list[str]
    result_name: str | None = None
    outer_names: list[str] = field(default_factory=list)
    call: str = ""


def calling_code(operation: str, count: int, entry: CodeType) -> Source:
    """Describe the line of the user's code that called the running operation.

    Parameters
    ----------
    operation : str
        The name of the operation. This name is used if there is no source text.
    count : int
        The number of operands.
    entry : code
        The code of the function that started forward. The search ends there.
    """
    frame, calls, user_frame, caller = sys._getframe(2), [], None, None
    while frame is not None and frame.f_code is not entry:
        file = frame.f_code.co_filename
        if not file.startswith(TAPE + os.sep):
            calls.append((file, frame.f_code.co_name, position_in_source(frame)))
        if not file.startswith(GRADCHECK + os.sep):
            if user_frame is None and not file.startswith(NUMPY):
                user_frame = frame
            elif user_frame is not None and caller is None and file == user_frame.f_code.co_filename:
                caller = frame
        frame = frame.f_back
    family = (operation, count, *calls)
    names = [f"operand {j + 1}" for j in range(count)]
    if user_frame is None:
        return Source(family, operation, names, outer_names=names)
    inside_numpy = calls[0][0].startswith(NUMPY)
    expression, names, result_name = expression_at(user_frame, names, operation, inside_numpy)
    place = f"{os.path.basename(user_frame.f_code.co_filename)}:{user_frame.f_lineno}"
    place += f" from {caller.f_lineno}" if caller is not None else ""
    arguments, call = arguments_of_call(user_frame)
    outer = [name_in_caller(name, arguments, user_frame.f_back) for name in names]
    return Source(family, f"{place}: {expression}", names, result_name, outer, call)


def arguments_of_call(frame: Any) -> tuple[dict[str, str], str]:
    """Return {name of a parameter: source of its argument} for the call that runs `frame`, and the source of the call.

    Return ({}, "") if the call is not in the user's code, or if it unpacks its arguments.
    """
    caller, code = frame.f_back, frame.f_code
    file = caller.f_code.co_filename
    if file.startswith((GRADCHECK + os.sep, NUMPY)):
        return {}, ""
    position = list(caller.f_code.co_positions())[caller.f_lasti // 2]
    lines = tuple(linecache.getlines(file))
    call, _ = expressions(file, lines).get(position, (None, None))
    if not isinstance(call, ast.Call) or any(isinstance(a, ast.Starred) for a in call.args):
        return {}, ""
    parameters = code.co_varnames[: code.co_argcount]
    if parameters[:1] == ("self",):
        parameters = parameters[1:]
    found = dict(zip(parameters, map(ast.unparse, call.args), strict=False))
    found |= {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords if keyword.arg}
    assigned = assigned_names(code)
    return {name: text for name, text in found.items() if name not in assigned}, source_of(call, lines)


@lru_cache(maxsize=256)
def assigned_names(code: CodeType) -> set[str]:
    """Return the names of the variables to which a function assigns values."""
    first, last = code.co_firstlineno, max(line for *_, line in code.co_lines() if line)
    found = expressions(code.co_filename, tuple(linecache.getlines(code.co_filename))).items()
    return {target for (line, *_), (_, target) in found if target is not None and first <= line <= last}


def name_in_caller(name: str, arguments: dict[str, str], caller: Any) -> str:
    """Return the source of the argument that the caller passes for the parameter `name`.

    The source is a variable, such as ``h``, or an element of a variable, such as ``h[t]``. If the argument is another
    expression, return `name`, because an expression may be too long for a report. But if the caller also has a variable
    called `name`, return the expression, because `name` alone would be read as the caller's variable.
    """
    argument, known = arguments.get(name, name), {*caller.f_code.co_varnames, *caller.f_locals}
    return argument if re.fullmatch(r"[\w.]+(\[[^()]*\])*", argument) or name in known else name


def expression_at(
    frame: Any, names: list[str], operation: str, inside_numpy: bool
) -> tuple[str, list[str], str | None]:
    """Return the source of the operation that `frame` is executing, the sources of its operands, and its target.

    If the source of an operand is not known, use its name in `names`, such as "operand 1". The target is the variable
    to which the code assigns the result, or None.

    `inside_numpy` is True if a Python function of NumPy runs the operation.
    """
    position = position_in_source(frame)
    line, file = position[0], frame.f_code.co_filename
    value, target = expressions(file, tuple(linecache.getlines(file))).get(position, (None, None))
    if value is None:
        return " ".join(linecache.getline(file, line).split()) if line else "", names, None
    names, parts = list(names), []
    if isinstance(value, ast.BinOp):
        parts = [value.left, value.right]
    elif isinstance(value, ast.AugAssign):
        parts = [value.target, value.value]
    elif isinstance(value, ast.UnaryOp):
        parts = [value.operand]
    elif isinstance(value, ast.Call):
        method = isinstance(value.func, ast.Attribute) and not is_module(value.func.value, frame)
        parts = ([value.func.value] if method else []) + list(value.args)
        name = getattr(value.func, "attr", "") if inside_numpy else ast.unparse(value.func)
        if name == "sum" or (inside_numpy and name != operation):
            parts = parts[:1]  # in x.var(0) and sum(terms, 0.0), the other arguments are not operands
        if operation == "concatenate" and parts and isinstance(parts[0], (ast.Tuple, ast.List)):
            if len(parts[0].elts) == len(names):  # np.concatenate((a, b), axis=1)
                parts = list(parts[0].elts)
    if len(parts) == 1 < len(names) and operation == "concatenate":  # np.stack of a list: name its elements
        names = [f"{ast.unparse(parts[0])}[{j}]" for j in range(len(names))]
    elif len(parts) >= len(names):  # a call such as sum(parts) or x.mean() has fewer parts than operands
        for j, part in enumerate(parts[: len(names)]):
            names[j] = ast.unparse(part)
    return source_of(value, tuple(linecache.getlines(file))), names, target


def is_module(value: ast.expr, frame: Any) -> bool:
    """Return True if an expression in the code of `frame` is a module, such as ``np.linalg`` or ``math``."""
    if isinstance(value, ast.Attribute):
        return is_module(value.value, frame)
    name = getattr(value, "id", None)
    return isinstance(frame.f_locals.get(name, frame.f_globals.get(name)), ModuleType)


def position_in_source(frame: Any) -> tuple:
    """Return the first line, last line, first column and last column of the expression that `frame` is executing.

    `f_lasti`, the index of the instruction, cannot identify the expression. In a loop, Python 3.11 replaces
    instructions by faster instructions after some iterations. Then the index of a call changes.
    """
    position = positions(frame.f_code)[frame.f_lasti // 2]
    return position if None not in position else (position[0], frame.f_lasti)


@lru_cache(maxsize=256)
def positions(code: CodeType) -> list[tuple]:
    """Return, for each instruction of `code`, the position of its source: (line, last line, column, last column)."""
    return list(code.co_positions())


def source_of(value: ast.AST, lines: tuple[str, ...]) -> str:
    """Return the source text of an expression as the user wrote it, joined to one line."""
    found = ast.get_source_segment("".join(lines), value) if value.lineno != value.end_lineno else None
    if found is None:
        found = lines[value.lineno - 1].encode()[value.col_offset : value.end_col_offset].decode()
    return " ".join(found.split())


@lru_cache(maxsize=64)
def expressions(file: str, lines: tuple[str, ...]) -> dict[tuple, tuple[ast.AST, str | None]]:
    """Return the operations of a file by their positions in the file.

    Each value of the dictionary is (operation, name). The code assigns the result of the operation to the variable
    called `name`. Without such a variable, `name` is None.
    """
    try:
        tree = ast.parse("".join(lines))
    except (SyntaxError, ValueError):
        return {}
    targets: dict[int, str] = {}
    found: dict[tuple, tuple[ast.AST, str | None]] = {}
    for node in ast.walk(tree):
        pairs: list[tuple[ast.AST, ast.AST]] = []
        if isinstance(node, ast.Assign):
            for target in node.targets:
                both = (target, node.value)
                if all(isinstance(part, (ast.Tuple, ast.List)) for part in both):
                    pairs += list(zip(target.elts, node.value.elts, strict=False))
                else:
                    pairs.append((target, node.value))
        elif isinstance(node, ast.AugAssign):
            pairs.append((node.target, node))
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            pairs.append((node.target, node.value))
        for target, value in pairs:
            if not isinstance(target, (ast.Tuple, ast.List)):
                targets[id(value)] = ast.unparse(target)
    for node in ast.walk(tree):
        if isinstance(node, (ast.BinOp, ast.UnaryOp, ast.Call, ast.AugAssign, ast.Subscript, ast.Compare)):
            position = (node.lineno, node.end_lineno, node.col_offset, node.end_col_offset)
            found[position] = (node, targets.get(id(node)))
    return found
