"""Coursework: an instructor's choice of exercises, and the marks for the files that students hand in.

settings.py    the file course.toml: exercises, points, limits
own.py         exercises that an instructor writes
judging.py     the mark for one file; box.py and inside/ run the file in a process of its own
submission.py  the marks for one student; batch.py marks all
command.py     ``nnscratch grade``
"""

from .settings import Course, Limits, Task, read_course

__all__ = ["Course", "Limits", "Task", "read_course"]
