"""The options of ``nnscratch exercises``. This file does not import the exercises, so that its import is fast."""

from __future__ import annotations

import argparse
from pathlib import Path

NAME_HELP = "the name of an exercise, such as sigmoid; you can also give its number or its file name"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands to `parser`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, help: str, exercise: str = "") -> argparse.ArgumentParser:
        added = actions.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".")
        if exercise:
            added.add_argument("name", nargs="?" if exercise == "optional" else None, metavar="NAME", help=NAME_HELP)
        if name != "start":
            added.add_argument(
                "--folder", type=Path, default=Path(), help="the folder of the exercises (default: the current folder)"
            )
        return added

    start = action("start", "write the exercises into a folder; existing files are kept")
    start.add_argument("folder", type=Path, metavar="FOLDER")
    start.add_argument("--notebooks", action="store_true", help="write a notebook for each exercise instead of a file")
    action("next", "show the first exercise that is not solved")
    checked = action("check", "check an exercise (default: the next one)", "optional")
    checked.add_argument("--seed", type=int, help="repeat a check with the same random inputs")
    watched = action("watch", "check an exercise every time you save its file", "optional")
    for parser in (checked, watched):
        parser.add_argument("--seconds", type=float, default=15.0, help="time limit of a check (default: %(default)g)")
    action("hint", "show one more hint; the last hint is shown only after you have solved the exercise", "optional")
    action("status", "list all exercises")
    action("reset", "write the original file again; your file is kept under another name", "required")
    solution = action("solution", "print the model solution of a solved exercise", "required")
    solution.add_argument("--anyway", action="store_true", help="print it even if you have not solved the exercise")
