"""Coursework: an instructor's choice of exercises, and the marks for the files that students hand in.

settings.py    the file course.toml: exercises, points, limits
own.py         exercises that an instructor writes
judging.py     the mark for one file; box.py and inside/ run the file in a separate process
submission.py  the marks for one student; batch.py the marks for all students
formats.py     the marks in the formats of other grading systems; autograder.py writes a zip file for Gradescope
notebooks.py   notebooks for nbgrader and Otter, and the code of students' notebooks
command.py     ``nnscratch grade``; course_command.py: ``nnscratch course``
"""

from importlib import import_module
from typing import Any

__all__ = ["Course", "Limits", "Task", "read_course"]


def __getattr__(name: str) -> Any:
    """Import settings.py on first use: it imports all exercises, and most commands do not need them."""
    if name in __all__:
        return getattr(import_module(f"{__name__}.settings"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
