"""Write a notebook for each exercise: the task, the code to write, a check, and the hints.

The repository does not contain these notebooks. This file makes them from the installed exercises, so they always have
the same texts.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
from html import escape
from pathlib import Path
from typing import Any

from ..serialization import write_atomically
from .exercise import Exercise
from .ladder import LADDER
from .notebook import asked_for

ABOUT_COMMANDS = re.compile(r"\nCheck it: .*\nStuck\? .*\Z")
NEW_PARAGRAPHS = re.compile(r"\n(?=Tolerances: |Also part of: )")


def write_notebooks(folder: Path) -> tuple[int, int]:
    """Write a notebook for each exercise that has none.

    Return the number of written notebooks, and the number of notebooks that already existed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / exercise.filename.replace(".py", ".ipynb") for exercise in LADDER]
    missing = [(exercise, path) for exercise, path in zip(LADDER, paths, strict=True) if not path.exists()]
    for exercise, path in missing:
        text = json.dumps(notebook_of(exercise), indent=1, ensure_ascii=False) + "\n"
        write_atomically(path, text.encode())
    return len(missing), len(paths) - len(missing)


def notebook_of(exercise: Exercise) -> dict[str, Any]:
    """Return the notebook of an exercise."""
    task, code = task_and_code(exercise.student_file)
    check = f'import nnscratch as nn\n\nnn.exercises.check("{exercise.name}", {", ".join(asked_for(exercise))})'
    hints = "\n\n".join(hint(number, text) for number, text in enumerate(exercise.hints[:2], start=1))
    again = "Run the next cell to check your code. Change the code, run both cells again, and repeat.\n\n" + hints
    cells = [cell("markdown", task), cell("code", code), cell("markdown", again), cell("code", check)]
    return as_notebook(cells, exercise.name)


def as_notebook(cells: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """Return a notebook of these cells in nbformat 4.5. Each cell's id is a hash of `name` and the cell's number."""
    for number, made in enumerate(cells):
        made["id"] = hashlib.sha256(f"{name} {number}".encode()).hexdigest()[:8]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def task_and_code(source: str) -> tuple[str, str]:
    """Return the docstring of a student's file as Markdown, and the code under it."""
    docstring = ast.parse(source).body[0]
    text = ast.literal_eval(docstring.value)  # type: ignore[attr-defined]
    title, _, text = ABOUT_COMMANDS.sub("", text.rstrip()).partition("\n")
    code = "".join(source.splitlines(keepends=True)[docstring.end_lineno :])
    return f"# {title}\n\n" + NEW_PARAGRAPHS.sub("\n\n", as_markdown(text)), code.strip()


def as_markdown(text: str) -> str:
    """Return `text` as Markdown. Make a code block of each indented paragraph, because it contains equations.

    In the other paragraphs, escape the characters that have a special function in Markdown.
    """
    lines: list[str] = []
    for paragraph in re.split(r"\n{2,}", text.strip("\n").rstrip()):
        if paragraph.startswith("    "):
            lines += ["```text", *(line.removeprefix("    ") for line in paragraph.splitlines()), "```", ""]
        else:
            lines += [re.sub(r"([\\`*<>$])", r"\\\1", paragraph), ""]
    return "\n".join(lines).rstrip()


def hint(number: int, text: str) -> str:
    """Return the HTML of a hint that appears after a click."""
    return f"<details><summary>Hint {number}</summary>{escape(text)}</details>"


def cell(kind: str, source: str) -> dict[str, Any]:
    """Return a cell of a notebook."""
    made: dict[str, Any] = {"cell_type": kind, "metadata": {}, "source": source}
    return made | ({"execution_count": None, "outputs": []} if kind == "code" else {})
