"""Read the file course.toml: the exercises of a course, the points for each part, and the limits. An example:

title = "Neural networks, autumn term"
seed = 20261012                              # the seed for the random inputs; all students get the same inputs

[limits]                                     # you may leave this table out
exercise = 3                                 # seconds of processor time for one file
submission = 15                              # seconds of processor time for all files of a student
memory = 1024                                # megabytes

[[exercises]]
name = "sigmoid"                             # an exercise of `nnscratch exercises`
points = 4                                   # half for the values, half for the gradients

[[exercises]]
name = "lstm_step"
points = { values = 2, gradients = 6 }

[[exercises]]
file = "own/swish.py"                        # an exercise of your own, see own.py
points = 5
"""

from __future__ import annotations

import difflib
import math
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..exercises.exercise import Exercise, Gradients, Values
from ..exercises.ladder import LADDER
from .own import read_own

COURSE_FILE = "course.toml"
FIRST_ROUNDS = (0.1, 0.5)  # seconds; see `Limits.rounds`. A right file needs less than 0.05 seconds
KINDS = {"values": Values, "gradients": Gradients}


@dataclass(frozen=True)
class Limits:
    """The limits for the students' code.

    Attributes
    ----------
    exercise, submission : float
        Seconds of processor time for one file, and for all files of one student.
    memory : int
        Megabytes of address space. Python and NumPy need about 200 megabytes.
    """

    exercise: float = 3.0
    submission: float = 15.0
    memory: int = 1024

    @property
    def rounds(self) -> tuple[float, ...]:
        """The limits for the processor time of one file, in seconds: one limit for each round of grading.

        If a file does not finish in a round, it runs again in the next round, which has a larger limit. So a file that
        finishes quickly gets its mark in an early round, even if other files of the student never finish.
        """
        return (*(seconds for seconds in FIRST_ROUNDS if seconds < self.exercise), self.exercise)

    @property
    def unfinished(self) -> float:
        """The limit in seconds for the processor time of runs that do not finish. All files of a student share it."""
        return 1.5 * self.exercise


@dataclass(frozen=True)
class Task:
    """An exercise of a course.

    Attributes
    ----------
    exercise : Exercise
    points : dict
        The points for each kind of part that the exercise has: ``{"values": 2.0, "gradients": 6.0}``.
    """

    exercise: Exercise
    points: dict[str, float]

    @property
    def name(self) -> str:
        """The name of the exercise."""
        return self.exercise.name

    @property
    def total(self) -> float:
        """The points for a file in which everything is right."""
        return sum(self.points.values())


@dataclass(frozen=True)
class Course:
    """The content of a course.toml.

    Attributes
    ----------
    title : str
    seed : int
        The seed of the inputs of all checks.
    tasks : tuple of Task
        In the order in which students get them.
    limits : Limits
    file : Path
    own_files : tuple of Path
        The files of the instructor's exercises, relative to the folder of `file`.
    """

    title: str
    seed: int
    tasks: tuple[Task, ...]
    limits: Limits
    file: Path
    own_files: tuple[Path, ...]

    @property
    def folder(self) -> Path:
        """The folder of the file."""
        return self.file.parent

    @property
    def total(self) -> float:
        """The points for a perfect submission."""
        return sum(task.total for task in self.tasks)

    def task(self, name: str) -> Task:
        """Return the task whose name or file name is `name`.

        Raises
        ------
        ValueError
            The course has no such task.
        """
        for task in self.tasks:
            if name in (task.name, task.exercise.filename):
                return task
        raise ValueError(f"the course has no exercise {name!r}{advice(name, [t.name for t in self.tasks])}")


def read_course(path: str | Path) -> Course:
    """Read a course.toml.

    Parameters
    ----------
    path : path
        The file, or its folder.

    Returns
    -------
    Course

    Raises
    ------
    FileNotFoundError
        There is no such file, or the file of an exercise is missing.
    ValueError
        A value is not allowed. The message names the file, the entry, and the value.
    """
    path = Path(path)
    file = path / COURSE_FILE if path.is_dir() else path
    if not file.is_file():
        raise FileNotFoundError(f"{file} does not exist. `nnscratch course new FOLDER` writes an example")
    try:
        held = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{file}: {error}") from None
    try:
        return course_from(held, file)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None


def course_from(held: dict[str, Any], file: Path) -> Course:
    """Return the course that the tables of a course.toml describe."""
    only_known(held, ("title", "seed", "limits", "exercises"), "the file")
    title, seed, entries = held.get("title", "Course"), held.get("seed", 0), held.get("exercises")
    if not isinstance(title, str):
        raise ValueError(f"title must be a string, got {title!r}")
    if type(seed) is not int or seed < 0:
        raise ValueError(f"seed must be an integer of at least 0, got {seed!r}")
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError("there must be at least one table [[exercises]]")
    tasks = tuple(task_from(entry, number, file.parent) for number, entry in enumerate(entries, start=1))
    own = tuple(Path(entry["file"]) for entry in entries if "file" in entry)
    files = [task.exercise.filename for task in tasks]
    names = [task.name for task in tasks]
    for found in (names, files):
        twice = next((name for name in found if found.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"{twice} is listed twice")
    return Course(title, seed, tasks, limits_from(held.get("limits", {})), file, own)


def limits_from(held: Any) -> Limits:
    """Return the limits of the table ``[limits]``. A limit that is not in the table has its default value."""
    if not isinstance(held, dict):
        raise ValueError(f"limits must be a table, got {held!r}")
    only_known(held, ("exercise", "submission", "memory"), "[limits]")
    for name, value in held.items():
        if type(value) not in (int, float) or not 0 < value < math.inf:
            raise ValueError(f"limits.{name} must be a number above 0, got {value!r}")
    limits = Limits(**held)
    if limits.memory < 256 or type(limits.memory) is not int:
        raise ValueError(f"limits.memory must be an integer of at least 256 (megabytes), got {limits.memory!r}")
    return limits


def task_from(entry: dict[str, Any], number: int, folder: Path) -> Task:
    """Return the task of one table ``[[exercises]]``."""
    where = f"[[exercises]] number {number}"
    only_known(entry, ("name", "file", "points"), where)
    name, file = entry.get("name"), entry.get("file")
    if (name is None) == (file is None) or not isinstance(name or file, str):
        raise ValueError(f"{where}: give either name or file, as a string")
    if file is not None and (Path(file).is_absolute() or ".." in Path(file).parts):
        raise ValueError(f"{where}: file must be in the folder of the course, got {file!r}")
    exercise = of_the_ladder(name, where) if file is None else read_own(folder / file)
    return Task(exercise, points_from(entry.get("points", 1), exercise, f"{where}, {exercise.name}"))


def of_the_ladder(name: str, where: str) -> Exercise:
    """Return the exercise with the name `name` from the exercises of the package."""
    for exercise in LADDER:
        if exercise.name == name:
            return exercise
    raise ValueError(f"{where}: there is no exercise {name!r}{advice(name, [e.name for e in LADDER])}")


def points_from(given: Any, exercise: Exercise, where: str) -> dict[str, float]:
    """Return the points for each kind of part. If `given` is one number, divide it equally between the kinds."""
    kinds = [kind for kind, cls in KINDS.items() if any(isinstance(part, cls) for part in exercise.parts)]
    if not isinstance(given, dict):
        check_points(given, f"{where}: points")
        return {kind: given / len(kinds) for kind in kinds}
    only_known(given, tuple(kinds), f"{where}: points")
    for kind in kinds:
        check_points(given.get(kind), f"{where}: points.{kind}")
    return {kind: float(given[kind]) for kind in kinds}


def check_points(value: Any, what: str) -> None:
    """Raise ValueError unless `value` is a number of points."""
    if type(value) not in (int, float) or not 0 <= value < math.inf:
        raise ValueError(f"{what} must be a number of at least 0, got {value!r}")


def only_known(held: dict[str, Any], known: tuple[str, ...], where: str) -> None:
    """Raise ValueError for an entry whose name is not in `known`."""
    for name in held:
        if name not in known:
            raise ValueError(f"unknown entry {name!r} in {where}; known: {', '.join(known)}{advice(name, known)}")


def advice(name: str, known: Any) -> str:
    """Return ". Did you mean ...?" if a known name is close, else ""."""
    close = difflib.get_close_matches(name, known, n=1)
    return f". Did you mean {close[0]!r}?" if close else ""
