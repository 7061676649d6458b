"""Worker: the judge uses this class to start the process that runs the student's file, and to send requests to it.

The judge writes requests into one pipe, and reads replies from another pipe (channel.py). At the end, the judge kills
the process and all its children.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .channel import Channel, WallClock, WorkerFailed, printable
from .orphans import Orphans

__all__ = ["ROOT", "Worker", "WorkerFailed", "printable"]

# sys.path starts with the folder of this package instead of the current folder. Otherwise, Python could import a file
# such as random.py from the current folder.
BOOT = "import sys; sys.path[0] = sys.argv.pop(1); from {} import main; main()"
ROOT = str(Path(__file__).resolve().parents[3])


class Worker:
    """A process that runs students' files. Use it in a ``with`` block: the end of the block kills the process.

    Parameters
    ----------
    module : str
        The name of a module. The process runs its function ``main``, which answers requests.
    *arguments : str
        The arguments of the process.
    environment : mapping, optional
        Environment variables in addition to those of this process.
    """

    def __init__(self, module: str, *arguments: str, environment: Mapping[str, str] | None = None):
        self._orphans = Orphans()
        self._process = subprocess.Popen(
            [sys.executable, "-c", BOOT.format(module), ROOT, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "MPLBACKEND": "Agg", **(environment or {})},  # a file that draws must not open a window
            start_new_session=True,
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        pipes = self._process.stdin.fileno(), self._process.stdout.fileno()
        self._channel = Channel(*pipes, ending=self._ending, stop=self.kill)

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *error: Any) -> None:
        self.kill()

    @property
    def failed(self) -> bool:
        """True if the process cannot be used any more: it ended, took too long, or sent data that is not a reply."""
        return self._channel.failed

    def set_limit(self, seconds: float) -> None:
        """Set the time limit: all later requests together may take `seconds`."""
        self._channel.clock = WallClock(seconds)

    def request(self, operation: str, **values: Any) -> Any:
        """Send a request and return the reply.

        Raises
        ------
        WorkerFailed
            There is no valid reply, or the reply says that the student's code raised an error.
        """
        return self._channel.request(operation, **values)

    def _ending(self) -> str:
        """Return a text that says how the process ended."""
        try:
            code = self._process.wait(1)
        except subprocess.TimeoutExpired:  # the process has closed its pipe, and still runs
            return "its process ended without a report"
        return f"its process ended without a report ({ending(code)})"

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


def ending(code: int) -> str:
    """Return the exit code of a process as text. For a negative code, return the name of the signal."""
    if code < 0:
        with contextlib.suppress(ValueError):
            return signal.Signals(-code).name
    return f"exit code {code}"
