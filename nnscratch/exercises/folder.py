"""The student's folder: the files of the exercises, and a small JSON file with the progress.

The file of an exercise must have exactly the right name, such as ``01_sigmoid.py``. All other files are ignored.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from ..serialization import write_atomically
from .exercise import Exercise
from .ladder import LADDER

PROGRESS = "progress.json"
FORMAT = "nnscratch exercises"


class ExerciseFolder:
    """A folder with exercises.

    Parameters
    ----------
    path : path
        The folder. If it contains no progress file, the progress is empty. `start` writes the progress file, and
        `find` searches for it.

    Attributes
    ----------
    path : Path
    progress : dict
        ``"solved"``: the time at which each exercise was first solved; ``"hints"``: the number of hints shown;
        ``"exercises"``, only if the folder was made for a course: the names of the exercises that the course uses.
        Entries that this version does not know are kept.
    note : str
        A message about a damaged progress file, or "".
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        self.progress, self.note = read_progress(self.path / PROGRESS)

    @property
    def exercises(self) -> list[Exercise]:
        """The exercises that the folder's course uses, in their order. Without a course, all exercises."""
        known = {exercise.name: exercise for exercise in LADDER}
        names = self.progress.get("exercises")
        chosen = [known[name] for name in names if name in known] if isinstance(names, list) else []
        return chosen or LADDER

    @property
    def solved(self) -> int:
        """The number of exercises that are solved."""
        return sum(self.is_solved(exercise) for exercise in self.exercises)

    @classmethod
    def start(cls, path: Path, names: list[str] | None = None) -> tuple[ExerciseFolder, list[Path]]:
        """Make the folder, and write the files that do not exist yet.

        Parameters
        ----------
        path : path
        names : list of str, optional
            The names of the exercises that a course uses. By default, the names in the folder's progress file. If the
            file contains none, all exercises of the package.

        Returns
        -------
        (ExerciseFolder, list of Path)
            The folder, and the files written.
        """
        path = Path(path)
        path.mkdir(parents=True, exist_ok=True)
        folder = cls(path)
        if names is not None:
            folder.progress["exercises"] = names
        missing = [exercise for exercise in folder.exercises if not folder.file_of(exercise).exists()]
        for exercise in missing:
            folder.write(exercise)
        written = [folder.file_of(exercise) for exercise in missing]
        folder.save()
        return folder, written

    @classmethod
    def find(cls, path: Path) -> ExerciseFolder:
        """Search for a progress file in `path` and in the folders above it. Return the first folder that contains one.

        Raises
        ------
        FileNotFoundError
            There is no such folder.
        """
        path = Path(path).resolve()
        for candidate in (path, *path.parents):
            if is_progress(candidate / PROGRESS):
                return cls(candidate)
        raise FileNotFoundError(
            f"there are no exercises in {path}. Go to the folder of your exercises, or make one: "
            f"nnscratch exercises start FOLDER"
        )

    def file_of(self, exercise: Exercise) -> Path:
        """Return the path of the student's file."""
        return self.path / exercise.filename

    def write(self, exercise: Exercise) -> None:
        """Write the file of an exercise in its original form."""
        write_atomically(self.file_of(exercise), exercise.student_file.encode())

    def reset(self, exercise: Exercise) -> Path | None:
        """Write the original file of an exercise again. Rename the student's file, and return its new path."""
        kept, file = None, self.file_of(exercise)
        if file.exists():
            number = next(n for n in range(1, 10**6) if not file.with_suffix(f".old{n}").exists())
            kept = file.with_suffix(f".old{number}")
            os.replace(file, kept)
        self.write(exercise)
        return kept

    def is_solved(self, exercise: Exercise) -> bool:
        """Return True if the student has solved the exercise before."""
        return exercise.name in self.progress["solved"]

    def next(self) -> Exercise | None:
        """Return the first exercise that is not solved, or None if all are solved."""
        return next((exercise for exercise in self.exercises if not self.is_solved(exercise)), None)

    def mark_solved(self, exercise: Exercise) -> None:
        """Record that an exercise is solved, and save the progress."""
        self.read_again()
        self.progress["solved"].setdefault(exercise.name, time.strftime("%Y-%m-%d %H:%M:%S"))
        self.save()

    def hints_shown(self, exercise: Exercise) -> int:
        """Return the number of hints that the student has seen."""
        shown = self.progress["hints"].get(exercise.name, 0)
        return shown if isinstance(shown, int) else 0

    def mark_hint(self, exercise: Exercise, number: int) -> None:
        """Record that `number` hints of an exercise were shown, and save the progress."""
        self.read_again()
        self.progress["hints"][exercise.name] = max(number, self.hints_shown(exercise))
        self.save()

    def read_again(self) -> None:
        """Read the progress file again, because a command in another window may have changed it."""
        self.progress, note = read_progress(self.path / PROGRESS)
        self.note = self.note or note

    def save(self) -> None:
        """Write the progress file. A program that reads the file at the same time never gets an incomplete file."""
        text = json.dumps(self.progress, indent=1, ensure_ascii=False) + "\n"
        write_atomically(self.path / PROGRESS, text.encode())


def read_progress(path: Path) -> tuple[dict[str, Any], str]:
    """Return the content of a progress file, and a note if it is damaged. A damaged file is renamed, not deleted."""
    empty: dict[str, Any] = {"format": FORMAT, "solved": {}, "hints": {}}
    if not path.exists():
        return empty, ""
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(held, dict):
            raise ValueError("not a dictionary")
    except (ValueError, RecursionError):
        damaged = path.with_suffix(".damaged")
        os.replace(path, damaged)
        present = [exercise.name for exercise in LADDER if (path.parent / exercise.filename).exists()]
        if len(present) < len(LADDER):  # this is the folder of a course, which has only some of the exercises
            empty["exercises"] = present
        return empty, f"{path.name} could not be read. It is now {damaged.name}. Check your solutions again."
    for key in ("solved", "hints"):
        if not isinstance(held.get(key), dict):
            held[key] = {}
    return empty | held, ""


def is_progress(path: Path) -> bool:
    """Return True if `path` is a progress file, even a damaged one.

    Return False for a progress.json of another program.
    """
    if not path.is_file():
        return False
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return any((path.parent / exercise.filename).exists() for exercise in LADDER)
    return isinstance(held, dict) and held.get("format") == FORMAT
