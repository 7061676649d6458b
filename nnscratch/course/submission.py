"""Mark the files of one student, and write the marks as a dictionary or as text for the student."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import stat
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .box import Starter
from .judging import LONGEST_SOURCE, FileMark, PartMark, mark_file
from .settings import Course, Limits, Task

WIDTH = 100


@dataclass
class SubmissionMark:
    """The marks of one student.

    Attributes
    ----------
    student : str
        The name of the folder.
    files : list of FileMark
        One for each exercise of the course.
    seed : int
        The seed of the inputs.
    """

    student: str
    files: list[FileMark]
    seed: int

    @property
    def points(self) -> float:
        """The points for all files."""
        return round(sum(file.points for file in self.files), 6)

    @property
    def out_of(self) -> float:
        """The points for a perfect submission."""
        return round(sum(file.out_of for file in self.files), 6)


def mark_submission(
    starter: Starter, course: Course, tasks: Sequence[Task], student: str, sources: Sequence[bytes | None], seed: int
) -> SubmissionMark:
    """Mark the files of one student.

    Parameters
    ----------
    starter : Starter
    course : Course
    tasks : sequence of Task
        The exercises to mark.
    student : str
    sources : sequence of bytes or None
        The content of the file for each task; see `read_sources`.
    seed : int
        The seed of the inputs.

    Returns
    -------
    SubmissionMark
    """
    limits, marks = course.limits, {}
    spent = lost = before = 0.0
    again = list(zip(tasks, sources, strict=True))
    for longest in limits.rounds:
        files, again = again, []
        for task, source in files:
            seconds = min(longest, limits.unfinished - lost, limits.submission - spent)
            if before and seconds <= before:
                marks[task.name].note = not_again(limits, before)
                continue
            seconds = seconds if before else longest  # in the first round, each file gets the same time
            mark = marks[task.name] = mark_file(starter, task, source, seed, limits, seconds)
            spent += mark.seconds
            if not mark.finished:
                lost = round(lost + seconds, 3)  # add the limit, because the measured time differs from run to run
                again.append((task, source))
        before = longest
    return SubmissionMark(student, [marks[task.name] for task in tasks], seed)


def not_again(limits: Limits, before: float) -> str:
    """Return the note for a file that is not run again, after a run of `before` seconds."""
    return (
        f"This file was not run again with a limit above {before:g} seconds, because too little time is left. All your "
        f"files together have {limits.submission:g} seconds. Of these, runs that do not finish may use "
        f"{limits.unfinished:g} seconds."
    )


def read_sources(folder: Path, tasks: Sequence[Task]) -> list[bytes | None]:
    """Return the content of the file for each task, or None if the file is missing.

    If the folder contains only one inner folder, as many archives do, read the files from the inner folder. Do not
    follow links, because a link could lead to a file of another student.
    """
    try:
        entries = sorted(folder.iterdir())
    except OSError:  # the folder is not readable
        return [None] * len(tasks)
    if len(entries) == 1 and entries[0].is_dir() and not entries[0].is_symlink():
        folder = entries[0]
    return [read_regular(folder / task.exercise.filename) for task in tasks]


def read_regular(path: Path, longest: int = LONGEST_SOURCE) -> bytes | None:
    """Return at most `longest` + 1 bytes from the start of a file, or None if it is not a regular file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return None
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        return file.read(longest + 1)


def fingerprint(course: Course, tasks: Sequence[Task], sources: Sequence[bytes | None], seed: int, version: str) -> str:
    """Return a hash of everything on which a mark depends. Two submissions with equal hashes get equal marks."""
    found = hashlib.sha256(f"{version} {seed} {course.limits}".encode())
    for task, source in zip(tasks, sources, strict=True):
        found.update(f"{task.name} {task.points}".encode() + task.exercise.marked_solution.encode())
        found.update(b"missing" if source is None else hashlib.sha256(source).digest())
    return found.hexdigest()


def to_dict(mark: SubmissionMark) -> dict[str, Any]:
    """Return a mark as plain values, for a JSON file."""
    return dataclasses.asdict(mark)


def from_dict(held: dict[str, Any]) -> SubmissionMark:
    """Return the mark for a dictionary that `to_dict` has made."""
    files = [FileMark(**file | {"parts": [PartMark(**part) for part in file["parts"]]}) for file in held["files"]]
    return SubmissionMark(held["student"], files, held["seed"])


def number(points: float) -> str:
    """Return points as text, with at most two digits after the decimal point."""
    return f"{points:.2f}".rstrip("0").rstrip(".")


def as_text(mark: SubmissionMark, title: str) -> str:
    """Return the feedback that the student reads."""
    width = max(len(file.name) for file in mark.files)
    lines = [f"{title}: {mark.student}", "", f"{number(mark.points)} of {number(mark.out_of)} points", ""]
    for file in mark.files:
        lines.append(f"  {file.name.ljust(width)}  {number(file.points):>5} of {number(file.out_of)}")
    for file in mark.files:
        lines += ["", "", f"{file.name} ({file.filename}): {number(file.points)} of {number(file.out_of)} points"]
        lines += file_lines(file)
    lines += ["", "", f"The inputs were drawn with the seed {mark.seed}. All students got the same inputs."]
    return "\n".join(lines) + "\n"


def file_lines(file: FileMark) -> list[str]:
    """Return the feedback for one file."""
    headlines = {part.headline for part in file.parts}
    if len(headlines) == 1 and not file.points:  # all parts have the same headline
        return [*wrapped(file.parts[0].headline), *(f"    {line}" for line in file.parts[0].details), *ending(file)]
    lines = []
    for part in file.parts:
        lines += wrapped(f"{part.kind}, {number(part.points)} of {number(part.out_of)}: {part.headline}")
        lines += [f"    {line}" for line in part.details]
    return lines + ending(file)


def ending(file: FileMark) -> list[str]:
    """Return the last lines of the feedback for a file: the note, and the output that the student's code printed."""
    lines = wrapped(file.note)
    if file.printed.strip():
        lines += ["  Your code printed:", *(f"    | {line}" for line in file.printed.splitlines())]
    return lines


def wrapped(text: str) -> list[str]:
    """Return a sentence in lines of at most `WIDTH` characters."""
    return textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="    ")
