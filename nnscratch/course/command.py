"""``nnscratch grade``: the marks for all submissions of a course."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from .batch import mark_all
from .settings import read_course
from .submission import SubmissionMark, number


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to `parser`."""
    add = parser.add_argument
    add("submissions", type=Path, metavar="SUBMISSIONS", help="a folder that holds a folder for each student")
    add("--out", type=Path, metavar="grades.csv", required=True, help="the table of marks; feedback goes beside it")
    add("--course", type=Path, default=Path(), help="the folder of course.toml (default: this one)")
    add("--only", action="append", default=[], metavar="NAME", help="mark this exercise only; repeat it for several")
    add("--jobs", type=int, default=1, help="submissions that are marked at the same time (default: %(default)s)")
    add("--seed", type=int, help="draw other inputs than those of the course, as for an appeal")
    add("--trust-submissions", action="store_true", help="run the files without a sandbox where there is none")


def run_grade(arguments: argparse.Namespace) -> int:
    """Mark all submissions, print a line for each, and return the exit code."""
    if os.name != "posix":
        raise OSError("grading needs Linux or macOS. On Windows, use WSL")
    if arguments.jobs < 1:
        raise ValueError(f"--jobs must be at least 1, got {arguments.jobs}")
    if arguments.seed is not None and arguments.seed < 0:
        raise ValueError(f"--seed must be at least 0, got {arguments.seed}")
    course = read_course(arguments.course)
    count = 0

    def report(mark: SubmissionMark) -> None:
        nonlocal count
        count += 1
        print(f"{count:4d}  {mark.student}: {number(mark.points)} of {number(mark.out_of)}", flush=True)

    mark_all(
        course,
        arguments.submissions,
        arguments.out,
        arguments.seed,
        arguments.only,
        arguments.jobs,
        arguments.trust_submissions,
        report,
    )
    print(f"The marks are in {arguments.out}, the feedback for students in {arguments.out.with_suffix('')}{os.sep}.")
    return 0
