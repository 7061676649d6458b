"""Coursework: an instructor's choice of exercises, and the marks for the files that students hand in.

settings.py    the file course.toml: exercises, points, limits
own.py         exercises that an instructor writes
"""

from .settings import Course, Limits, Task, read_course

__all__ = ["Course", "Limits", "Task", "read_course"]
