"""Small exercises with immediate feedback. The exercises in their order are called the ladder.

ladder/, solutions/    the checks and the model solution of each exercise
exercise.py            the parts of an exercise
folder.py              the student's folder: files, progress
checking.py            check one file; values.py compares values, worker.py runs the file
drivers.py             call students' code that is not two functions of arrays, such as a class
notebook.py            check functions in a notebook; notebook_files.py writes the notebooks
command.py             ``nnscratch exercises``, with the options in arguments.py; watch.py checks after each save

Each module is imported on its first use, because most commands of ``nnscratch`` do not need the exercises.
"""

from importlib import import_module

HOMES = {
    "LADDER": "ladder",
    "Feedback": "checking",
    "check_file": "checking",
    "check": "notebook",
    "Report": "notebook",
}

__all__ = ["LADDER", "Feedback", "Report", "check", "check_file"]


def __getattr__(name):
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{HOMES[name]}", __name__), name)


def __dir__():
    return sorted([*globals(), *HOMES])
