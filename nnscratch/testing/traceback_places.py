"""The lines of a traceback in the user's code: in an answer, or in the exercise that checks it."""

from __future__ import annotations

import ast
import linecache
import os
import sysconfig
from functools import cached_property
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

LIBRARIES = tuple(
    {str(Path(__file__).parents[1]) + os.sep}
    | {path + os.sep for key in ("stdlib", "platstdlib", "purelib", "platlib") if (path := sysconfig.get_path(key))}
)
NOT_FILES = ("<frozen", "<__array_function__", "<string>", "<attrs")  # file names of generated library code


class Place:
    """One line of a traceback, with its source.

    Parameters
    ----------
    frame : frame
    line : int
        The number of the line in its file or notebook cell.
    position : tuple of int, optional
        First line, last line, first column and last column of the expression that failed.

    Attributes
    ----------
    of_check : bool
        True if the line is in the ``with exercise(...)`` block.
    """

    def __init__(self, frame: FrameType, line: int, position: tuple | None = None):
        self.frame, self.line, self.position = frame, line, position
        self.of_check = False

    @property
    def file(self) -> str:
        """The name of the file. A notebook cell has a file name too, and `linecache` returns its text."""
        return self.frame.f_code.co_filename

    @property
    def source(self) -> str:
        """The text of the line. A simple statement on several lines is joined into one line."""
        lines = [self.line]
        if self.statement is not None and not hasattr(self.statement, "body"):
            lines = list(range(self.statement.lineno, self.statement.end_lineno + 1))
        return " ".join(linecache.getline(self.file, line).strip() for line in lines)

    @property
    def where(self) -> str:
        """A text with the function and the number of the line."""
        code = self.frame.f_code
        name = getattr(code, "co_qualname", code.co_name).split("<locals>.")[-1]
        in_cell = "ipykernel_" in self.file or not os.path.exists(self.file)
        file = "its cell" if in_cell else os.path.basename(self.file)
        function = {"<lambda>": "a lambda, "}.get(code.co_name, "" if name.startswith("<") else f"`{name}`, ")
        return f"{function}line {self.line} of {file}"

    @cached_property
    def tree(self) -> ast.AST | None:
        """The syntax tree of the file or cell, or None if the source is unknown."""
        try:
            return ast.parse("".join(linecache.getlines(self.file)))
        except (SyntaxError, ValueError):
            return None

    def nodes(self) -> list[Any]:
        """Return all nodes of the tree that have a position."""
        return [node for node in (ast.walk(self.tree) if self.tree else ()) if hasattr(node, "end_col_offset")]

    @cached_property
    def statement(self) -> Any:
        """The innermost statement that contains the line, or None."""
        around = [node for node in self.nodes() if isinstance(node, ast.stmt) and spans(node, self.line)]
        return min(around, key=lambda node: node.end_lineno - node.lineno, default=None)

    @cached_property
    def expression(self) -> Any:
        """The expression that failed. Before Python 3.11, its position is unknown, so this is the whole statement."""
        for node in self.nodes():
            position = (node.lineno, node.end_lineno, node.col_offset, node.end_col_offset)
            if position == self.position and not isinstance(node, ast.Expr):
                return node
        return self.statement

    @cached_property
    def check(self) -> Any:
        """The innermost ``with exercise(...)`` statement that contains the line, or None."""
        around = [
            node
            for node in self.nodes()
            if isinstance(node, ast.With)
            and spans(node, self.line)
            and any("exercise" in ast.unparse(item.context_expr) for item in node.items)
        ]
        return max(around, key=lambda node: node.lineno, default=None)


def spans(node: Any, line: int) -> bool:
    """Return True if the node contains the line."""
    return node.lineno <= line <= node.end_lineno


def position_of(code: CodeType, instruction: int) -> tuple | None:
    """Return the position of an instruction's expression, or None before Python 3.11."""
    if not hasattr(code, "co_positions"):
        return None
    first, last, start, end = list(code.co_positions())[instruction // 2]
    return (first, last, start, end)


def is_library(file: str) -> bool:
    """Return True if the file belongs to Python, to an installed package or to this package."""
    return file.startswith(LIBRARIES + NOT_FILES) or file.endswith((".pyx", ".pxd"))  # files of compiled code


def own_places(error: BaseException) -> list[Place]:
    """Return the places of the traceback that are not in libraries, the outermost first.

    The first place is in the exercise's block. If another error caused this error, the places of that error follow.
    """
    places = []
    current: BaseException | None = error
    while current is not None:
        traceback = current.__traceback__
        while traceback is not None:
            code = traceback.tb_frame.f_code
            if not is_library(code.co_filename):
                position = position_of(code, traceback.tb_lasti)
                places.append(Place(traceback.tb_frame, traceback.tb_lineno, position))
            traceback = traceback.tb_next
        current = current.__cause__
    for place in places:
        outer, code = places[0], place.frame.f_code
        inside = outer.check is not None and place.file == outer.file and spans(outer.check, code.co_firstlineno)
        place.of_check = code is outer.frame.f_code or inside
    return places
