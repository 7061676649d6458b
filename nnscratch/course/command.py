"""``nnscratch grade``: mark all submissions of a course, or mark one submission for another grading system."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .submission import SubmissionMark

FORMATS = ("csv", "gradescope", "autolab", "classroom50")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to `parser`."""
    add = parser.add_argument
    add("submissions", type=Path, metavar="SUBMISSIONS", help="a folder that contains a folder for each student")
    out = "the table of marks; the feedback goes into a folder with the same name, but without .csv"
    add("--out", type=Path, metavar="grades.csv", help=out)
    add("--course", type=Path, default=Path(), help="the folder of course.toml (default: the current folder)")
    add("--only", action="append", default=[], metavar="NAME", help="mark only this exercise; may be repeated")
    jobs = "how many submissions are marked at the same time (default: %(default)s)"
    add("--jobs", type=int, default=1, help=jobs)
    add("--seed", type=int, help="draw inputs with this seed instead of the course's seed")
    add(
        "--format",
        choices=FORMATS,
        default="csv",
        help="the format of the marks (default: csv). For the other formats, SUBMISSIONS is the folder of one student. "
        "gradescope and classroom50 write the file --out; autolab prints the marks and needs no --out",
    )
    add("--trust-submissions", action="store_true", help="run the files even if there is no sandbox")


def run_grade(arguments: argparse.Namespace) -> int:
    """Mark submissions, and return the exit code."""
    # Imported here, so that the other commands do not import all exercises.
    from .batch import mark_all, mark_one
    from .settings import read_course
    from .submission import number

    if os.name != "posix":
        raise OSError("grading needs Linux or macOS. On Windows, use WSL")
    if arguments.jobs < 1:
        raise ValueError(f"--jobs must be at least 1, got {arguments.jobs}")
    if arguments.seed is not None and arguments.seed < 0:
        raise ValueError(f"--seed must be at least 0, got {arguments.seed}")
    if arguments.out is None and arguments.format != "autolab":
        raise ValueError("give the name of the file to write, such as --out grades.csv")
    course = read_course(arguments.course)
    how = {"seed": arguments.seed, "only": arguments.only, "trust": arguments.trust_submissions}
    if arguments.format != "csv":
        write(mark_one(course, arguments.submissions, **how), arguments, course.title)
        return 0
    count = 0

    def report(mark: SubmissionMark) -> None:
        nonlocal count
        count += 1
        name = mark.student.encode(errors="replace").decode()
        print(f"{count:4d}  {name}: {number(mark.points)} of {number(mark.out_of)}", flush=True)

    mark_all(course, arguments.submissions, arguments.out, jobs=arguments.jobs, report=report, **how)
    print(f"The marks are in {arguments.out}, the feedback for students in {arguments.out.with_suffix('')}{os.sep}.")
    return 0


def write(mark: SubmissionMark, arguments: argparse.Namespace, title: str) -> None:
    """Write one mark in the format of another system."""
    from ..serialization import write_atomically
    from .formats import autolab, classroom50, gradescope
    from .submission import as_text

    if arguments.format == "autolab":
        print(as_text(mark, title))
        print(autolab(mark))
        return
    found = gradescope(mark) if arguments.format == "gradescope" else classroom50(mark, os.environ)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(arguments.out, json.dumps(found, indent=1).encode())
