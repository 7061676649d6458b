"""Write the exercises of a course as notebooks for nbgrader or Otter, and read students' notebooks.

    write_notebooks    write the instructor's notebooks. nbgrader or Otter makes the students' notebooks from them
    collect            read the students' notebooks, and write their code into files that ``nnscratch grade`` marks

In both systems, the check runs in the same process as the student's code, and this code can change the check. So use
the result of the check as feedback for the student, and not as a mark.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from ..exercises.exercise import SOLUTION
from ..exercises.notebook import asked_for
from ..exercises.notebook_files import as_notebook, cell, task_and_code
from ..serialization import write_atomically
from .own import OwnExercise
from .settings import Course, Task
from .submission import number, read_regular

LONGEST_NOTEBOOK = 100 << 20  # the largest number of bytes; it is large, because notebooks contain pictures
DEFINES = re.compile(r"(?m)^(?:def|class) ")
CHECKS = re.compile(r"(?m)^\s*(?:(?:import|from) +(?:nnscratch|otter)\b|grader\.)")
COMMAND = re.compile(r"(?m)^\s*[%!].*$")  # commands of IPython, which are not Python code


def write_notebooks(course: Course, system: str, folder: Path) -> list[Path]:
    """Write one notebook with the solution for each exercise, and return the paths of the notebooks.

    Parameters
    ----------
    course : Course
    system : {"nbgrader", "otter"}
    folder : Path

    Raises
    ------
    FileExistsError
        One of the notebooks exists.
    """
    make = {"nbgrader": for_nbgrader, "otter": for_otter}[system]
    paths = [folder / notebook_name(task) for task in course.tasks]
    for path in paths:
        if path.exists():
            raise FileExistsError(f"{path} exists already. Give the name of a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    for task, path in zip(course.tasks, paths, strict=True):
        made = as_notebook(make(task, course.seed), path.stem)
        write_atomically(path, (json.dumps(made, indent=1, ensure_ascii=False) + "\n").encode())
    return paths


def for_nbgrader(task: Task, seed: int) -> list[dict[str, Any]]:
    """Return the cells of a notebook for nbgrader: the task, the solution, and a test that gives the points."""
    text, code = task_and_code(with_solution(task, "### BEGIN SOLUTION", "### END SOLUTION"))
    solution, test = cell("code", code), cell("code", check_of(task, seed))
    solution["metadata"] = {"nbgrader": nbgrader_data(task.name, solution=True)}
    test["metadata"] = {"nbgrader": nbgrader_data(f"check-{task.name}", points=task.total)}
    return [cell("markdown", text), solution, *([] if isinstance(task.exercise, OwnExercise) else [test])]


def nbgrader_data(grade_id: str, solution: bool = False, points: float | None = None) -> dict[str, Any]:
    """Return the metadata of a cell, in nbgrader's schema 3."""
    test = points is not None
    data = {"grade_id": grade_id, "schema_version": 3, "solution": solution, "grade": test, "locked": test}
    return data | {"task": False} | ({"points": points} if test else {})


def for_otter(task: Task, seed: int) -> list[dict[str, Any]]:
    """Return the cells of a notebook with one question, for ``otter assign``. Raw cells mark where each part begins."""
    text, code = task_and_code(with_solution(task, "# BEGIN SOLUTION", "# END SOLUTION"))
    # With "ok_format: false", a test is a function that raises an error.
    config = f"# ASSIGNMENT CONFIG\nname: {task.name}\ntests:\n    ok_format: false"
    start = [cell("raw", config), cell("markdown", text)]
    start.append(cell("raw", f"# BEGIN QUESTION\nname: {task.name}\npoints: {number(task.total)}"))
    question = [cell("markdown", "Write your code here:"), cell("raw", "# BEGIN SOLUTION"), cell("code", code)]
    question.append(cell("raw", "# END SOLUTION"))
    if not isinstance(task.exercise, OwnExercise):
        arguments = ", ".join(asked_for(task.exercise))
        body = "".join(f"    {line}\n" for line in check_of(task, seed).splitlines())
        test = cell("code", f"def test_{task.name}({arguments}):\n{body}".rstrip())
        question += [cell("raw", "# BEGIN TESTS"), test, cell("raw", "# END TESTS")]
    return [*start, *question, cell("raw", "# END QUESTION")]


def with_solution(task: Task, begin: str, end: str) -> str:
    """Return the model solution, with the lines `begin` and `end` around the parts that the student has to write."""

    def marked(match: re.Match) -> str:
        indent = match[1]
        return f"{indent}# TODO: {match[2]}\n{indent}{begin}\n{match[3]}{indent}{end}\n"

    return SOLUTION.sub(marked, task.exercise.marked_solution)


def check_of(task: Task, seed: int) -> str:
    """Return code that checks the student's functions, and raises an error with the report if they are not right."""
    names = ", ".join(asked_for(task.exercise))
    check = f'report = nn.exercises.check("{task.name}", {names}, seed={seed})'
    return f"import nnscratch as nn\n{check}\nassert report.solved, str(report)"


def notebook_name(task: Task) -> str:
    """Return the name of the notebook of an exercise."""
    return task.exercise.filename.removesuffix(".py") + ".ipynb"


def collect(course: Course, submitted: Path, out: Path) -> dict[str, list[str]]:
    """Write the code of the students' notebooks into files that ``nnscratch grade`` marks.

    Parameters
    ----------
    course : Course
    submitted : Path
        A folder that contains one folder for each student. Their notebooks may be in inner folders. This function does
        not follow links. If a student has several notebooks with the same name, it uses the one whose path comes first
        in the alphabet.
    out : Path
        The new folder, with a folder for each student.

    Returns
    -------
    dict
        For each student, the names of the files that were written.

    Raises
    ------
    FileNotFoundError
        `submitted` is not a folder.
    FileExistsError
        `out` exists and is not an empty folder.
    """
    if not submitted.is_dir():
        raise FileNotFoundError(f"{submitted} is not a folder")
    if out.exists() and (out.is_file() or any(out.iterdir())):
        raise FileExistsError(f"{out} exists already. Remove it, or give another name")
    found: dict[str, list[str]] = {}
    students = sorted(path for path in submitted.iterdir() if path.is_dir() and not path.is_symlink())
    for student in students:
        notebooks: dict[str, Path] = {}
        for folder, _, files in sorted(os.walk(student)):
            for name in files:
                notebooks.setdefault(name, Path(folder) / name)
        found[student.name] = []
        (out / student.name).mkdir(parents=True)
        for task in course.tasks:
            path = notebooks.get(notebook_name(task))
            code = None if path is None else code_of(read_regular(path, LONGEST_NOTEBOOK))
            if code is not None:
                write_atomically(out / student.name / task.exercise.filename, code.encode(errors="replace"))
                found[student.name].append(task.exercise.filename)
    return found


def code_of(data: bytes | None) -> str | None:
    """Return the code of a notebook, without cells that only check it. Return None if the file is not a notebook."""
    try:
        cells = json.loads(data or b"")["cells"]
        texts = ["".join(made["source"]) for made in cells if made["cell_type"] == "code"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    own = [text for text in texts if DEFINES.search(text) or not CHECKS.search(text)]
    return "\n\n\n".join(COMMAND.sub("", text) for text in own) + "\n"
