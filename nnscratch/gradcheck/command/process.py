"""Worker: the process that runs the student's file, as the judge sees it.

The judge writes requests into one pipe and reads replies from another. It never waits longer than its time limit, and
never reads more than `wire` allows. Afterwards it kills the process and all its children.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from . import wire
from .orphans import Orphans

# The path of the package is given, so that a file such as random.py in the current folder is not imported.
BOOT = "import sys; sys.path[0] = sys.argv.pop(1); from nnscratch.gradcheck.command.worker import main; main()"
ROOT = str(Path(__file__).resolve().parents[3])


class WorkerFailed(Exception):
    """The worker gave no reply that can be used, or its reply says that the student's code raised an error."""


class Worker:
    """A process that runs one student's file. Use it in a ``with`` block, which kills it at the end.

    Parameters
    ----------
    path : str
        The student's file. It is imported at the first request, under that request's time limit.

    Attributes
    ----------
    failed : bool
        True if the process cannot be used any more: it ended, took too long, or sent something that is not a reply.
    """

    def __init__(self, path: str):
        self.failed = False
        self._numbers = itertools.count(1)
        self._deadline = float("inf")
        self._orphans = Orphans()
        self._process = subprocess.Popen(
            [sys.executable, "-c", BOOT, ROOT, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "MPLBACKEND": "Agg"},  # a file that draws must not open a window
            start_new_session=True,
            bufsize=0,
        )
        self._requests, self._replies = self._process.stdin.fileno(), self._process.stdout.fileno()
        if os.name == "posix":
            os.set_blocking(self._requests, False)

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *error: Any) -> None:
        self.kill()

    def set_limit(self, seconds: float) -> None:
        """Allow all requests together `seconds` from now."""
        self._seconds, self._deadline = seconds, time.monotonic() + seconds

    def request(self, operation: str, **values: Any) -> Any:
        """Send a request and return the reply.

        Raises
        ------
        WorkerFailed
            There is no reply, or the reply says that the student's code raised an error.
        """
        number, watchdog = next(self._numbers), None
        self.failed = True  # until there is a reply
        if os.name != "posix":  # select works on sockets only
            watchdog = threading.Timer(max(0.0, self._deadline - time.monotonic()), self.kill)
            watchdog.start()
        try:
            self._write(wire.frame({"number": number, "operation": operation, **values}))
            header, body = wire.LENGTHS.unpack(self._read(wire.LENGTHS.size))
            wire.check_lengths(header, body)
            reply = wire.unpack(self._read(header), self._read(body))
        except wire.BadMessage as error:
            raise WorkerFailed(f"its process sent {error}") from None
        finally:
            if watchdog is not None:
                watchdog.cancel()
        if not isinstance(reply, dict) or reply.get("number") != number:
            raise WorkerFailed("its process sent a reply to another request")
        self.failed = False
        if "error" in reply:
            raise WorkerFailed(printable(reply["error"], 2000))
        return reply.get("value")

    def _wait(self, descriptor: int, to_write: bool) -> None:
        if os.name != "posix":
            return
        left = self._deadline - time.monotonic()
        waiting = ([], [descriptor], []) if to_write else ([descriptor], [], [])
        if left <= 0 or not any(select.select(*waiting, min(left, 1e6))):
            raise WorkerFailed(f"not finished after {self._seconds:g} seconds")

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            self._wait(self._requests, to_write=True)
            try:
                rest = rest[os.write(self._requests, rest) :]
            except BlockingIOError:
                continue
            except OSError:
                raise WorkerFailed(self._ending()) from None

    def _read(self, count: int) -> bytes:
        chunks = []
        while count:
            self._wait(self._replies, to_write=False)
            chunk = os.read(self._replies, min(count, 1 << 20))
            if not chunk:
                raise WorkerFailed(self._ending())
            chunks.append(chunk)
            count -= len(chunk)
        return b"".join(chunks)

    def _ending(self) -> str:
        """Say how the process ended."""
        if time.monotonic() >= self._deadline:
            return f"not finished after {self._seconds:g} seconds"
        try:
            code = self._process.wait(1)
        except subprocess.TimeoutExpired:  # it closed its pipe and is still running
            return "its process ended without a report"
        if code < 0:
            with contextlib.suppress(ValueError):
                return f"its process ended without a report ({signal.Signals(-code).name})"
        return f"its process ended without a report (exit code {code})"

    def kill(self) -> None:
        """Kill the process, its children, and the children that left its session."""
        with contextlib.suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()
        self._process.wait()
        self._orphans.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()


def printable(text: Any, longest: int) -> str:
    """Return what the worker sent as text for a terminal: no control characters, and not longer than `longest`.

    Further lines are indented, so that they cannot look like lines of the judge.
    """
    lines = ["".join(c if c.isprintable() else " " for c in line).rstrip() for line in str(text)[:longest].splitlines()]
    return "\n      ".join(lines)
