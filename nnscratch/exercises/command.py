"""``nnscratch exercises``: start, next, check, hint, status, reset and solution."""

from __future__ import annotations

import argparse
import difflib
import os
import sys
import textwrap
from pathlib import Path

from .checking import SECONDS, Feedback, check
from .exercise import Exercise
from .folder import ExerciseFolder
from .ladder import LADDER

SOLVED, NOT_YET = 0, 1
GREEN, YELLOW, BOLD, PLAIN = "\033[32m", "\033[33m", "\033[1m", "\033[0m"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands to `parser`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, run, help: str, exercise: str = "") -> argparse.ArgumentParser:
        added = actions.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".")
        added.set_defaults(run_action=run)
        if exercise:
            added.add_argument("name", nargs="?" if exercise == "optional" else None, metavar="NAME", help=NAME_HELP)
        if name != "start":
            added.add_argument(
                "--folder", type=Path, default=Path(), help="the folder of the exercises (default: this one)"
            )
        return added

    start = action("start", run_start, "write the exercises into a folder; existing files are kept")
    start.add_argument("folder", type=Path, metavar="FOLDER")
    action("next", run_next, "show the first exercise that is not solved")
    checked = action("check", run_check, "check an exercise, by default the next", "optional")
    checked.add_argument("--seed", type=int, help="repeat a check with the same random inputs")
    checked.add_argument("--seconds", type=float, default=SECONDS, help="time limit (default: %(default)g)")
    action("hint", run_hint, "show one more hint; the last one comes after solving", "optional")
    action("status", run_status, "list all exercises")
    action("reset", run_reset, "write an exercise anew; your file is kept under another name", "required")
    solution = action("solution", run_solution, "print the model solution of a solved exercise", "required")
    solution.add_argument("--anyway", action="store_true", help="also if you have not solved it")


NAME_HELP = "the name of an exercise, such as sigmoid; its number or its file name are possible too"


def run_exercises(arguments: argparse.Namespace) -> int:
    """Run ``nnscratch exercises ACTION`` and return the exit code."""
    if arguments.action == "start":
        return run_start(arguments)
    folder = ExerciseFolder.find(arguments.folder)
    if folder.note:
        print(folder.note)
    return arguments.run_action(arguments, folder)


def run_start(arguments: argparse.Namespace) -> int:
    """Write the files of all exercises."""
    path: Path = arguments.folder
    if path.exists() and not path.is_dir():
        raise FileExistsError(f"{path} is a file. Give the name of a folder")
    folder, written = ExerciseFolder.start(path)
    kept = len(LADDER) - len(written)
    print(
        f"{path}: {len(written)} exercises written" + (f", {kept} files were there and are unchanged." if kept else ".")
    )
    print(f"\nBegin:\n    cd {path}\n    nnscratch exercises next")
    return SOLVED


def run_next(arguments: argparse.Namespace, folder: ExerciseFolder) -> int:
    """Print the task of the first exercise that is not solved."""
    exercise = folder.next()
    if exercise is None:
        print(all_solved())
        return SOLVED
    print(paint(f"Exercise {exercise.number}: {exercise.name}", BOLD), f"- {exercise.title}")
    print(f"\nOpen       {shown_path(folder.file_of(exercise))}")
    print("           The task is at the top of the file. Replace each TODO with your code.")
    print(f"Check it   nnscratch exercises check {exercise.name}")
    print(f"Stuck?     nnscratch exercises hint {exercise.name}")
    return SOLVED


def run_check(arguments: argparse.Namespace, folder: ExerciseFolder) -> int:
    """Check one exercise, print the feedback and remember a success."""
    if not arguments.seconds > 0:
        raise ValueError(f"seconds must be above 0, got {arguments.seconds}")
    exercise = chosen(arguments.name, folder)
    if exercise is None:
        print(all_solved())
        return SOLVED
    print(paint(f"Exercise {exercise.number}: {exercise.name}", BOLD), f"({shown_path(folder.file_of(exercise))})")
    feedback = check(exercise, folder.file_of(exercise), arguments.seed, arguments.seconds)
    print_feedback(exercise, feedback, folder)
    if not feedback.solved:
        return NOT_YET
    folder.mark_solved(exercise)
    following = folder.next()
    print(f"\nNext: {following.name} - {following.title}" if following else f"\n{all_solved()}")
    return SOLVED


def print_feedback(exercise: Exercise, feedback: Feedback, folder: ExerciseFolder) -> None:
    """Print the result of a check."""
    if feedback.printed:
        print("\nYour code printed:\n" + textwrap.indent(feedback.printed.rstrip("\n"), "  | "))
    if feedback.solved:
        print(paint("\nSolved.", GREEN), "The values and the gradients are right." if len(exercise.parts) > 1 else "")
        print(f"Compare with a model solution: nnscratch exercises solution {exercise.name}")
        print(textwrap.fill(f"One more thought: {exercise.hints[2]}", 100))
        print(f"To read: {exercise.reading}")
        return
    headline = f"Not yet. {feedback.headline}" if feedback.started else feedback.headline
    print("\n" + paint(textwrap.fill(headline, 100), YELLOW))
    for line in feedback.details:
        print(f"  {line}")
    if feedback.started:
        print(f"\nCheck with the same inputs: nnscratch exercises check {exercise.name} --seed {feedback.seed}")
    left = 2 - folder.hints_shown(exercise)
    if left > 0:
        print(f"There {'is 1 hint' if left == 1 else f'are {left} hints'}: nnscratch exercises hint {exercise.name}")


def run_hint(arguments: argparse.Namespace, folder: ExerciseFolder) -> int:
    """Print the hints seen so far, and one more."""
    exercise = chosen(arguments.name, folder)
    if exercise is None:
        print(all_solved())
        return SOLVED
    available = 3 if folder.is_solved(exercise) else 2
    number = min(folder.hints_shown(exercise) + 1, available)
    for index, hint in enumerate(exercise.hints[:number], start=1):
        print(textwrap.fill(f"Hint {index} for {exercise.name}: {hint}", 100))
    folder.mark_hint(exercise, number)
    if number == 2 and available == 2:
        print("The third hint comes after you have solved the exercise.")
    return SOLVED


def run_status(arguments: argparse.Namespace, folder: ExerciseFolder) -> int:
    """Print a line for each exercise."""
    width = max(len(exercise.name) for exercise in LADDER)
    following = folder.next()
    for exercise in LADDER:
        if folder.is_solved(exercise):
            state = paint("solved   ", GREEN)
        elif exercise is following:
            state = paint("next     ", YELLOW)
        else:
            state = "         "
        print(f"  {state} {exercise.number:2d}  {exercise.name.ljust(width)}  {exercise.title}")
    solved = sum(folder.is_solved(exercise) for exercise in LADDER)
    print(f"{solved} of {len(LADDER)} solved")
    return SOLVED


def run_reset(arguments: argparse.Namespace, folder: ExerciseFolder) -> int:
    """Write one file anew."""
    exercise = named(arguments.name)
    kept = folder.reset(exercise)
    print(f"{exercise.filename} is as it was given out." + (f" Your file is now {kept.name}." if kept else ""))
    return SOLVED


def run_solution(arguments: argparse.Namespace, folder: ExerciseFolder) -> int:
    """Print the model solution."""
    exercise = named(arguments.name)
    if not (folder.is_solved(exercise) or arguments.anyway):
        print(
            f"You have not solved {exercise.name} yet. `nnscratch exercises hint {exercise.name}` helps; "
            f"--anyway shows the solution."
        )
        return NOT_YET
    print(exercise.solution, end="")
    return SOLVED


def chosen(name: str | None, folder: ExerciseFolder) -> Exercise | None:
    """Return the exercise called `name`; the next one if no name is given."""
    return folder.next() if name is None else named(name)


def named(name: str) -> Exercise:
    """Return an exercise by its name, its number, or the name or path of its file.

    Raises
    ------
    ValueError
        There is none.
    """
    last = Path(name).name
    for exercise in LADDER:
        if last in (exercise.name, exercise.filename, exercise.filename.removesuffix(".py"), str(exercise.number)):
            return exercise
    close = difflib.get_close_matches(last, [exercise.name for exercise in LADDER], n=1)
    advice = f"Did you mean {close[0]}?" if close else "`nnscratch exercises status` lists them."
    raise ValueError(f"there is no exercise called {name!r}. {advice}")


def all_solved() -> str:
    """Return the message after the last exercise."""
    return f"All {len(LADDER)} exercises are solved. Well done."


def shown_path(path: Path) -> str:
    """Return a path as seen from the current folder."""
    shown = os.path.relpath(path)
    return str(path) if shown.startswith("..") else shown


def paint(text: str, code: str) -> str:
    """Return the text with the colour codes of a terminal, if the output is one."""
    if not sys.stdout.isatty() or "NO_COLOR" in os.environ:
        return text
    return f"{code}{text}{PLAIN}"
