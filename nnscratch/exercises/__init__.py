"""The coursework ladder: small exercises with immediate feedback.

ladder/, solutions/    the exercises: a reference and a model solution for each
exercise.py            what an exercise consists of
folder.py              the student's folder: files, progress
checking.py            check one file; values.py compares values, worker.py runs the file
drivers.py             calls of student's code that need more than arrays
command.py             ``nnscratch exercises``
"""

from .checking import Feedback, check
from .ladder import LADDER

__all__ = ["LADDER", "Feedback", "check"]
