"""``nnscratch exercises``: start, next, check, watch, hint, status, reset and solution."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from .exercise import Exercise
from .folder import ExerciseFolder
from .ladder import named
from .notebook_files import write_notebooks
from .show import GREEN, YELLOW, all_solved, check_and_print, paint, show_hint, show_task
from .terminal import keyboard
from .watch import Watch

SOLVED, NOT_YET = 0, 1


def run_exercises(arguments: argparse.Namespace) -> int:
    """Run ``nnscratch exercises ACTION`` and return the exit code."""
    if arguments.action == "start":
        return run_start(arguments)
    folder = ExerciseFolder.find(arguments.folder)
    if folder.note:
        print(folder.note)
    return ACTIONS[arguments.action](arguments, folder)


def run_start(arguments: argparse.Namespace) -> int:
    """Write the files of all exercises."""
    path: Path = arguments.folder
    if path.exists() and not path.is_dir():
        raise FileExistsError(f"{path} is a file. Give the name of a folder")
    if arguments.notebooks:
        written, kept = write_notebooks(path)
        begin = f"jupyter lab {shlex.quote(str(path))}"
    else:
        folder, new = ExerciseFolder.start(path)
        written, kept = len(new), len(folder.exercises) - len(new)
        begin = f"cd {shlex.quote(str(path))}\n    nnscratch exercises next"
    unchanged = f", {kept} files existed already and are unchanged." if kept else "."
    print(f"{path}: {written} exercises written{unchanged}")
    print(f"\nBegin:\n    {begin}")
    return SOLVED


def run_next(arguments: argparse.Namespace, folder: ExerciseFolder) -> int:
    """Print the task of the first exercise that is not solved."""
    exercise = folder.next()
    if exercise is None:
        print(all_solved(folder))
        return SOLVED
    show_task(exercise, folder)
    print(f"Check it   nnscratch exercises check {exercise.name}")
    print(f"Stuck?     nnscratch exercises hint {exercise.name}")
    return SOLVED


def run_check(arguments: argparse.Namespace, folder: ExerciseFolder) -> int:
    """Check one exercise, print the feedback and record a success."""
    check_seconds(arguments.seconds)
    exercise = chosen(arguments.name, folder)
    if exercise is None:
        print(all_solved(folder))
        return SOLVED
    if not check_and_print(exercise, folder, arguments.seed, arguments.seconds):
        return NOT_YET
    following = folder.next()
    print(f"\nNext: {following.name} - {following.title}" if following else f"\n{all_solved(folder)}")
    return SOLVED


def check_seconds(seconds: float) -> None:
    """Raise ValueError unless the time limit is above 0."""
    if not seconds > 0:
        raise ValueError(f"seconds must be above 0, got {seconds}")


def run_watch(arguments: argparse.Namespace, folder: ExerciseFolder) -> int:
    """Check an exercise after each save, until the user ends the command."""
    check_seconds(arguments.seconds)
    exercise = chosen(arguments.name, folder)
    if exercise is None:
        print(all_solved(folder))
        return SOLVED
    with keyboard() as keys:
        Watch(folder, exercise, keys, arguments.seconds).run()
    return SOLVED


def run_hint(arguments: argparse.Namespace, folder: ExerciseFolder) -> int:
    """Print the hints that the student has seen, and the next hint."""
    exercise = chosen(arguments.name, folder)
    if exercise is None:
        print(all_solved(folder))
        return SOLVED
    show_hint(exercise, folder)
    return SOLVED


def run_status(arguments: argparse.Namespace, folder: ExerciseFolder) -> int:
    """Print a line for each exercise."""
    width = max(len(exercise.name) for exercise in folder.exercises)
    following = folder.next()
    for exercise in folder.exercises:
        if folder.is_solved(exercise):
            state = paint("solved   ", GREEN)
        elif exercise is following:
            state = paint("next     ", YELLOW)
        else:
            state = "         "
        print(f"  {state} {exercise.number:2d}  {exercise.name.ljust(width)}  {exercise.title}")
    print(f"{folder.solved} of {len(folder.exercises)} solved")
    return SOLVED


def run_reset(arguments: argparse.Namespace, folder: ExerciseFolder) -> int:
    """Write the original file of one exercise again."""
    exercise = named(arguments.name)
    kept = folder.reset(exercise)
    print(f"{exercise.filename} has its original text again." + (f" Your file is now {kept.name}." if kept else ""))
    return SOLVED


def run_solution(arguments: argparse.Namespace, folder: ExerciseFolder) -> int:
    """Print the model solution."""
    exercise = named(arguments.name)
    if not (folder.is_solved(exercise) or arguments.anyway):
        print(
            f"You have not solved {exercise.name} yet. `nnscratch exercises hint {exercise.name}` shows a hint. To see "
            f"the solution now, use --anyway."
        )
        return NOT_YET
    print(exercise.solution, end="")
    return SOLVED


def chosen(name: str | None, folder: ExerciseFolder) -> Exercise | None:
    """Return the exercise called `name`, or the next exercise if no name is given."""
    return folder.next() if name is None else named(name)


ACTIONS = {
    "next": run_next,
    "check": run_check,
    "watch": run_watch,
    "hint": run_hint,
    "status": run_status,
    "reset": run_reset,
    "solution": run_solution,
}
