"""The process that runs a student's file. It returns arrays and a report; the judge (checking.py) decides.

It extends the worker of ``nnscratch gradcheck`` with limits for memory and files, with the request ``call``, and with
the text that the student's code prints. The code runs with the rights of the user: check only files that you trust.
"""

from __future__ import annotations

import contextlib
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from ..gradcheck.command import wire
from ..gradcheck.command.process import Worker
from ..gradcheck.command.worker import Refused, Service, answer_requests, copy_of
from .drivers import DRIVERS
from .exercise import NOT_SENT

ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
MEMORY = 1 << 30  # bytes of address space, of which Python and NumPy take a part
FILE_SIZE = 10 << 20  # bytes
PRINTED = 1500  # characters
DRIVER = "driver:"


class ExerciseWorker(Worker):
    """The judge's handle to the process that runs students' files.

    Use it in a ``with`` block: the process is killed at the end of the block.

    The request ``open`` names the file for the requests that follow.
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


class FirstCharacters:
    """A text file that keeps the first `PRINTED` characters, and drops all others."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text[: PRINTED - len(self.text)] if len(self.text) < PRINTED else ""
        return len(text)

    def flush(self) -> None:
        """Do nothing: there is no buffer."""

    def isatty(self) -> bool:
        return False


def limit_resources() -> None:
    """Limit memory and the size of files. Windows has no such limits."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource  # not available on Windows

        resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_SIZE, FILE_SIZE))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def in_file(error: BaseException, path: str) -> str:
    """Return an error as text, and at the end the last line of the student's file that it came from: " (line 7)"."""
    if isinstance(error, Refused):
        return str(error)
    if isinstance(error, MemoryError):
        text = "MemoryError: your code needs too much memory"
    elif isinstance(error, SystemExit):
        text = f"it calls sys.exit({error.code!r})"
    else:
        text = f"{type(error).__name__}: {' '.join(str(error).split())}"
    own = Path(path).resolve()
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).resolve() == own]
    return f"{text} (line {lines[-1]})" if lines else text


class ExerciseService(Service):
    """The requests that the judge can send: those of `Service`, and ``call``."""

    def load(self, name: str) -> Any:
        """Return what the file calls `name`; or the driver of that name, made for the file."""
        if not name.startswith(DRIVER):
            return super().load(name)
        return DRIVERS[name.removeprefix(DRIVER)](super().load)

    def call(self, function: str, inputs: list, returns: list[str]) -> tuple:
        """Call a function of the student's, and return the values called `returns`; None for those in `NOT_SENT`."""
        called, title = self.load(function), function.removeprefix(DRIVER)
        own = [copy_of(x) for x in inputs]
        with np.errstate(all="ignore"):
            given = called(*own)
        values = (given,) if len(returns) == 1 else given
        if given is None:
            raise Refused(f"{title} returns None. Its last line must be: return {', '.join(returns)}")
        if not isinstance(values, (tuple, list)) or len(values) != len(returns):
            came = f"{len(values)} values" if isinstance(values, (tuple, list)) else f"one {type(values).__name__}"
            raise Refused(f"{title} must return {' and '.join(returns)}. It returns {came}")
        for x, before in zip(own, inputs, strict=True):
            if isinstance(x, np.ndarray) and not np.array_equal(x, before, equal_nan=True):
                raise Refused(
                    f"{title} changes one of its arguments, an array of shape {np.shape(before)}. Work on a copy: an "
                    f"operation such as x -= 1 or x[i] = 0 writes into the caller's array"
                )
        return tuple(None if n in NOT_SENT else sendable(title, n, v) for n, v in zip(returns, values, strict=True))


def sendable(title: str, name: str, value: Any) -> Any:
    """Return a value as an array that can be sent.

    Raises
    ------
    Refused
        It is not an array of numbers.
    """
    if isinstance(value, dict):
        return {str(k): sendable(title, f"{name}[{k!r}]", v) for k, v in value.items()}
    if value is None:
        raise Refused(f"{title}: {name} is None. It must be an array")
    if isinstance(value, (list, tuple)):
        raise Refused(f"{title}: {name} is a {type(value).__name__}. Make an array of it: np.array({name})")
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.asarray(None)
    if array.dtype.str not in wire.DTYPES:
        raise Refused(f"{title}: {name} must be an array of numbers, got {type(value).__name__}")
    return array
