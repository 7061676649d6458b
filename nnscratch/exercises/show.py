"""The texts that ``nnscratch exercises`` prints: a task, the feedback of a check, hints."""

from __future__ import annotations

import os
import sys
import textwrap
from pathlib import Path

from .checking import Feedback, check_file
from .exercise import Exercise
from .folder import ExerciseFolder

GREEN, YELLOW, BOLD, PLAIN = "\033[32m", "\033[33m", "\033[1m", "\033[0m"


def show_task(exercise: Exercise, folder: ExerciseFolder) -> None:
    """Print the name of an exercise, and the file that the student must open."""
    print(paint(f"Exercise {exercise.number}: {exercise.name}", BOLD), f"- {exercise.title}")
    print(f"\nOpen       {shown_path(folder.file_of(exercise))}")
    print("           The task is at the top of the file. Replace each TODO with your code.")


def check_and_print(exercise: Exercise, folder: ExerciseFolder, seed: int | None, seconds: float) -> bool:
    """Check one exercise, print the feedback, and record a success. Return True if the exercise is solved."""
    print(paint(f"Exercise {exercise.number}: {exercise.name}", BOLD), f"({shown_path(folder.file_of(exercise))})")
    feedback = check_file(exercise, folder.file_of(exercise), seed, seconds)
    print_feedback(exercise, feedback, folder)
    if feedback.solved:
        folder.mark_solved(exercise)
    return feedback.solved


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


def show_hint(exercise: Exercise, folder: ExerciseFolder) -> None:
    """Print the hints that the student has seen, and the next hint."""
    available = 3 if folder.is_solved(exercise) else 2
    number = min(folder.hints_shown(exercise) + 1, available)
    for index, hint in enumerate(exercise.hints[:number], start=1):
        print(textwrap.fill(f"Hint {index} for {exercise.name}: {hint}", 100))
    folder.mark_hint(exercise, number)
    if number == 2 and available == 2:
        print("The third hint appears after you have solved the exercise.")


def all_solved(folder: ExerciseFolder) -> str:
    """Return the message after the last exercise."""
    return f"All {len(folder.exercises)} exercises are solved. Well done."


def shown_path(path: Path) -> str:
    """Return a path relative to the current folder, or the full path if it is outside this folder."""
    try:
        shown = os.path.relpath(path)
    except ValueError:  # on Windows, the path is on another drive
        return str(path)
    return str(path) if shown.startswith("..") else shown


def paint(text: str, code: str) -> str:
    """Return the text with colour codes if the output is a terminal. Otherwise, return it unchanged."""
    if not sys.stdout.isatty() or "NO_COLOR" in os.environ:
        return text
    return f"{code}{text}{PLAIN}"
