"""The process that runs a student's file. It returns arrays and a report. The judge (checking.py) decides the verdict.

It is the worker of ``nnscratch gradcheck`` with three additions: it limits memory and the size of files, it answers the
request ``call``, and it returns the text that the student's code prints. The code runs with the rights of the user, so
check only files that you trust.
"""

from __future__ import annotations

import contextlib
import sys
from typing import Any

from ..gradcheck.command.process import Worker
from ..gradcheck.command.worker import Service, answer_requests
from .calling import DRIVER, FirstCharacters, call, in_file
from .drivers import DRIVERS
from .exercise import NOT_SENT

ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
MEMORY = 1 << 30  # the largest address space of the process in bytes, including what Python and NumPy need
FILE_SIZE = 10 << 20  # the largest file that the process may write, in bytes


class ExerciseWorker(Worker):
    """Start a process that runs students' files, and send requests to it. The judge uses this class.

    Use it in a ``with`` block: the end of the block kills the process. The request ``open`` sets the student's file for
    the requests that follow.
    """

    def __init__(self) -> None:
        super().__init__("nnscratch.exercises.worker", environment=ONE_THREAD)


def main() -> None:
    """Answer requests until the judge closes the pipe."""
    limit_resources()
    service, printed, path = None, FirstCharacters(), ""

    def answer(operation: str, values: dict[str, Any]) -> Any:
        nonlocal service, printed, path
        if operation == "open":
            path = values["path"]
            service = ExerciseService(path)
            sys.argv = [path]
            sys.stdout = printed = FirstCharacters()
            return None
        return printed.text if operation == "printed" else getattr(service, operation)(**values)

    answer_requests(answer, lambda error: in_file(error, path))


def limit_resources() -> None:
    """Limit memory and the size of files. Windows has no such limits."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource  # Windows does not have this module

        resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_SIZE, FILE_SIZE))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


class ExerciseService(Service):
    """The requests that the judge can send: those of `Service`, and ``call``."""

    def load(self, name: str) -> Any:
        """Return the object `name` of the student's file. For ``"driver:NAME"``, return the driver's function."""
        if not name.startswith(DRIVER):
            return super().load(name)
        return DRIVERS[name.removeprefix(DRIVER)](super().load)

    def call(self, function: str, inputs: list, returns: list[str], overflow: str) -> tuple:
        """Call a student's function, and return the values that it returns. `returns` contains their names.

        Return None instead of each value whose name is in `NOT_SENT`.
        """
        return call(self.load, function, inputs, returns, NOT_SENT, overflow)
