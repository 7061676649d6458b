"""``nnscratch course``: the actions before grading: new, check, release, autograder, notebooks and collect."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands to `parser`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, run: Callable, help: str) -> argparse.ArgumentParser:
        added = actions.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".")
        added.set_defaults(run_action=run)
        if name != "new":
            course = "the folder of course.toml (default: the current folder)"
            added.add_argument("--course", type=Path, default=Path(), help=course)
        return added

    new = action("new", run_new, "write an example of a course, which you then change")
    new.add_argument("folder", type=Path, metavar="FOLDER")
    action("check", run_check, "try each exercise: the untouched file, the solution, and the planted mistakes")
    release = action("release", run_release, "write the files that students get, without the solutions")
    release.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="a new folder, or a .zip file")
    autograder = action("autograder", run_autograder, "write the zip file that Gradescope needs to mark the course")
    autograder.add_argument("--out", type=Path, required=True, metavar="autograder.zip", help="the file to write")
    autograder.add_argument(
        "--trust-submissions", action="store_true", help="mark even if Gradescope's machine has no sandbox"
    )
    notebooks = action("notebooks", run_notebooks, "write the exercises as notebooks for nbgrader or Otter")
    notebooks.add_argument("--system", choices=("nbgrader", "otter"), required=True, help="the grading system")
    notebooks.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="the folder of the notebooks")
    collect = action("collect", run_collect, "write the code of students' notebooks into files for `nnscratch grade`")
    collect.add_argument("submitted", type=Path, metavar="SUBMITTED", help="a folder with a folder for each student")
    collect.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="a new folder")


def run_course(arguments: argparse.Namespace) -> int:
    """Run ``nnscratch course ACTION`` and return the exit code."""
    return arguments.run_action(arguments)


def run_new(arguments: argparse.Namespace) -> int:
    """Write an example of a course."""
    from .example import write_example

    for path in write_example(arguments.folder):
        print(path)
    print(f"\nEdit course.toml, then:\n    cd {shlex.quote(str(arguments.folder))}\n    nnscratch course check")
    return 0


def run_check(arguments: argparse.Namespace) -> int:
    """Try each exercise, and print a line for each. Return 1 if there is a problem."""
    from .settings import read_course
    from .submission import number
    from .trial import ENOUGH_MISTAKES, Trial

    course = read_course(arguments.course)
    width, failed = max(len(task.name) for task in course.tasks), 0
    with Trial(course.seed) as trial:
        for task in course.tasks:
            found, count = list(trial.problems(task.exercise)), len(task.exercise.mistakes)
            failed += bool(found)
            state = "not right" if found else f"right     {count} planted mistakes are recognised"
            if not found and count < ENOUGH_MISTAKES:
                state += f"; {ENOUGH_MISTAKES} are recommended"
            print(f"  {task.name.ljust(width)}  {number(task.total).rjust(5)} points  {state}", flush=True)
            for problem in found:
                print(f"      {problem}")
    print(f"{len(course.tasks)} exercises, {number(course.total)} points" + (f", {failed} not right" if failed else ""))
    if not failed:
        print("\nNext:\n    nnscratch course release --out FOR_STUDENTS.zip")
    return 1 if failed else 0


def run_release(arguments: argparse.Namespace) -> int:
    """Write the files for students."""
    from .release import write_release
    from .settings import read_course

    names = write_release(read_course(arguments.course), arguments.out)
    print(f"{arguments.out}: {', '.join(names)}")
    return 0


def run_autograder(arguments: argparse.Namespace) -> int:
    """Write the zip file for Gradescope."""
    # Imported here, so that the other commands do not import all exercises.
    from .autograder import write_autograder
    from .settings import read_course

    course = read_course(arguments.course)
    write_autograder(course, arguments.out, arguments.trust_submissions)
    print(f"{arguments.out}: {len(course.tasks)} exercises. Upload it at Gradescope as the autograder.")
    return 0


def run_notebooks(arguments: argparse.Namespace) -> int:
    """Write the instructor's notebooks. nbgrader or Otter makes the students' notebooks from them."""
    from .notebooks import write_notebooks
    from .settings import read_course

    for path in write_notebooks(read_course(arguments.course), arguments.system, arguments.out):
        print(path)
    return 0


def run_collect(arguments: argparse.Namespace) -> int:
    """Write the code of students' notebooks into files, and print the names of each student's files."""
    from .notebooks import collect
    from .settings import read_course

    for student, names in collect(read_course(arguments.course), arguments.submitted, arguments.out).items():
        print(f"{student.encode(errors='replace').decode()}: {', '.join(names) or 'no notebook of the course'}")
    return 0
