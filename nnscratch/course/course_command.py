"""``nnscratch course``: what an instructor does before and around the marking."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands to `parser`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    help = "write the zip file that Gradescope needs to mark the course"
    autograder = actions.add_parser("autograder", help=help, description=help[0].upper() + help[1:] + ".")
    autograder.set_defaults(run_action=run_autograder)
    autograder.add_argument("--course", type=Path, default=Path(), help="the folder of course.toml (default: this one)")
    autograder.add_argument("--out", type=Path, required=True, metavar="autograder.zip", help="the file to write")
    autograder.add_argument(
        "--trust-submissions", action="store_true", help="mark also where Gradescope's machine has no sandbox"
    )


def run_course(arguments: argparse.Namespace) -> int:
    """Run ``nnscratch course ACTION`` and return the exit code."""
    return arguments.run_action(arguments)


def run_autograder(arguments: argparse.Namespace) -> int:
    """Write the zip file for Gradescope."""
    # Imported here, so that the other commands do not import all exercises.
    from .autograder import write_autograder
    from .settings import read_course

    course = read_course(arguments.course)
    write_autograder(course, arguments.out, arguments.trust_submissions)
    print(f"{arguments.out}: {len(course.tasks)} exercises. Upload it at Gradescope as the autograder.")
    return 0
