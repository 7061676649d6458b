"""Mark all submissions in several processes, and write these files:

    grades.csv             a line for each student
    grades/STUDENT.txt     the feedback for the student
    grades/STUDENT.json    the marks. A later run uses them again if the student's files, the course and the seed are
                           unchanged

Every mark is saved immediately. If a run is interrupted, start it again: it continues with the remaining students.
"""

from __future__ import annotations

import concurrent.futures as futures
import csv
import io
import json
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from .. import __version__
from ..exercises.checking import NotYet
from ..serialization import write_atomically
from .box import Starter, StarterFailed, missing_protections
from .judging import FileMark, none_of
from .settings import Course, Task, read_course
from .submission import (
    SubmissionMark,
    as_text,
    fingerprint,
    from_dict,
    mark_submission,
    number,
    read_sources,
    to_dict,
)


class NotProtected(OSError):
    """The sandbox does not work here, and the submissions are not trusted."""


def check_protections(trust: bool) -> list[str]:
    """Return the forbidden actions that students' files can carry out on this machine, such as "reading files".

    Raises
    ------
    NotProtected
        Students' files can carry out at least one such action, and `trust` is False.
    """
    with Starter(trust) as starter:
        missing = missing_protections(starter)
    if missing and not trust:
        raise NotProtected(
            f"on this machine, the sandbox does not block: {', '.join(missing)}. The sandbox needs Linux 5.13 or "
            f"later, two packages (pip install landlock pyseccomp) and a library (Debian: apt install libseccomp2). "
            f"If you trust all submissions, use --trust-submissions"
        )
    return missing


def mark_all(
    course: Course,
    submissions: Path,
    out: Path,
    seed: int | None = None,
    only: Sequence[str] = (),
    jobs: int = 1,
    trust: bool = False,
    report: Callable[[SubmissionMark], None] = lambda mark: None,
) -> list[SubmissionMark]:
    """Mark every folder in `submissions`, and write the marks.

    Parameters
    ----------
    course : Course
    submissions : Path
        A folder that contains one folder for each student.
    out : Path
        The CSV file. The feedback goes into a folder with the same name without ".csv".
    seed : int, optional
        The seed of the inputs. The default is the seed of the course.
    only : sequence of str
        Mark these exercises only.
    jobs : int
        The number of submissions that are marked at the same time.
    trust : bool
        Mark the files even if there is no sandbox.
    report : callable
        `mark_all` calls this function with each mark as soon as it is known.

    Returns
    -------
    list of SubmissionMark
        In the order of the students' names.

    Raises
    ------
    ValueError, OSError
        `submissions` contains no folder, `only` names an exercise that the course does not have, or there is no sandbox
        here and `trust` is False.
    """
    tasks = [course.task(name) for name in only] or list(course.tasks)
    students = students_in(submissions)
    if not out.suffix:
        raise ValueError(f"--out must be the name of a CSV file, such as grades.csv, got {str(out)!r}")
    seed = course.seed if seed is None else seed
    folder = out.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    check_protections(trust)
    marks: dict[str, SubmissionMark] = {}

    def done(mark: SubmissionMark) -> None:
        marks[mark.student] = mark
        report(mark)

    waiting = {}
    for student in students:
        sources = read_sources(submissions / student, tasks)
        key = fingerprint(course, tasks, sources, seed, __version__)
        saved = saved_mark(folder / f"{student}.json", key)
        if saved is not None:
            done(saved)
        else:
            waiting[student] = sources, key
    for student, mark in marked(course, tasks, waiting, seed, jobs, trust):
        save(folder, mark, waiting[student][1], course.title)
        done(mark)
    ordered = [marks[student] for student in students]
    write_atomically(out, as_csv(ordered).encode(errors="surrogateescape"))
    return ordered


def mark_one(
    course: Course, folder: Path, seed: int | None = None, only: Sequence[str] = (), trust: bool = False
) -> SubmissionMark:
    """Mark the folder of one student, and write nothing.

    Parameters
    ----------
    course, seed, only, trust
        See `mark_all`.
    folder : Path
        The folder with the student's files.

    Returns
    -------
    SubmissionMark

    Raises
    ------
    ValueError, OSError
        `folder` is not a folder, `only` names an exercise that the course does not have, or there is no sandbox here
        and `trust` is False.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder")
    tasks = [course.task(name) for name in only] or list(course.tasks)
    check_protections(trust)
    with Starter(trust) as starter:
        sources = read_sources(folder, tasks)
        return mark_submission(starter, course, tasks, folder.name, sources, course.seed if seed is None else seed)


def students_in(submissions: Path) -> list[str]:
    """Return the names of the folders in `submissions`. Leave out files, links and hidden folders."""
    if not submissions.is_dir():
        raise FileNotFoundError(f"{submissions} is not a folder")
    names = [p.name for p in submissions.iterdir() if p.is_dir() and not p.is_symlink() and p.name[0] != "."]
    if not names:
        raise FileNotFoundError(f"{submissions} contains no folder. It must contain a folder for each student")
    return sorted(names)


def saved_mark(path: Path, key: str) -> SubmissionMark | None:
    """Return the mark from an earlier run, or None if the files or the settings have changed since then."""
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        return from_dict(held["mark"]) if held["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def save(folder: Path, mark: SubmissionMark, key: str, title: str) -> None:
    """Write the feedback and the marks of one student."""
    write_atomically(folder / f"{mark.student}.txt", as_text(mark, title).encode(errors="replace"))
    text = json.dumps({"key": key, "mark": to_dict(mark)}, indent=1)
    write_atomically(folder / f"{mark.student}.json", text.encode())


def as_csv(marks: Sequence[SubmissionMark]) -> str:
    """Return a table with a line for each student, and a column for each exercise."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["student", *(file.name for file in marks[0].files), "total", "out of"])
    for mark in marks:
        points = [number(file.points) for file in mark.files]
        writer.writerow([mark.student, *points, number(mark.points), number(mark.out_of)])
    return text.getvalue()


def marked(
    course: Course, tasks: Sequence[Task], waiting: dict[str, tuple], seed: int, jobs: int, trust: bool
) -> Iterator[tuple[str, SubmissionMark]]:
    """Yield the name and the mark of each student in `waiting`, as soon as the mark is known."""
    start = (str(course.file), [task.name for task in tasks], seed, trust)
    lost: list[str] = []
    yield from in_processes(waiting, start, jobs, lost)
    # The students in `lost` have no mark, because a process has died, perhaps because of another student's files. So
    # mark each of these students in a new process.
    for student in list(lost):
        lost.clear()
        yield from in_processes({student: waiting[student]}, start, 1, lost)
        if lost:
            yield student, not_marked(tasks, student, seed)


def in_processes(
    waiting: dict[str, tuple], start: tuple, jobs: int, lost: list[str]
) -> Iterator[tuple[str, SubmissionMark]]:
    """Mark submissions in `jobs` processes. If a process dies, add the students without a mark to `lost`."""
    if not waiting:
        return
    context = multiprocessing.get_context("forkserver")  # imports this package once, for all processes
    context.set_forkserver_preload([__name__])
    with futures.ProcessPoolExecutor(min(jobs, len(waiting)), context, start_judge, start) as pool:
        running = {pool.submit(judge_one, student, sources): student for student, (sources, _) in waiting.items()}
        try:
            for future in futures.as_completed(running):
                try:
                    mark = from_dict(future.result())
                except Exception:  # catch every error, so that the other submissions get their marks
                    lost.append(running[future])
                    continue
                yield running[future], mark
        except BaseException:  # for example Ctrl-C
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def not_marked(tasks: Sequence[Task], student: str, seed: int) -> SubmissionMark:
    """Return a mark of 0 points that tells the student that the grader has failed."""
    problem = NotYet("The grader has failed, and has not marked this submission. Please tell your instructor.")
    files = [
        FileMark(task.name, task.exercise.filename, [none_of(part, task, problem) for part in task.exercise.parts])
        for task in tasks
    ]
    return SubmissionMark(student, files, seed)


class Judge:
    """The state that a process of the pool keeps between two submissions."""

    def __init__(self, path: str, names: Sequence[str], seed: int, trust: bool):
        self.course = read_course(path)
        self.tasks = [self.course.task(name) for name in names]
        self.seed, self.trust = seed, trust
        self.starter = Starter(trust)

    def mark(self, student: str, sources: Sequence[bytes | None]) -> SubmissionMark:
        """Mark one submission.

        If the starter (box.py) has ended, perhaps for lack of memory, start a new one and try again.
        """
        try:
            return mark_submission(self.starter, self.course, self.tasks, student, sources, self.seed)
        except StarterFailed:
            self.starter.close()
            self.starter = Starter(self.trust)
            return mark_submission(self.starter, self.course, self.tasks, student, sources, self.seed)


judges: list[Judge] = []  # one element: the judge of this process


def start_judge(path: str, names: Sequence[str], seed: int, trust: bool) -> None:
    """Prepare a process of the pool."""
    judges.append(Judge(path, names, seed, trust))


def judge_one(student: str, sources: Sequence[bytes | None]) -> dict[str, Any]:
    """Mark one submission in a process of the pool."""
    return to_dict(judges[0].mark(student, sources))
