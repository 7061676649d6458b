"""The judge's side of the processes in which students' files run.

Starter    a process that has imported NumPy and starts the others; it never runs students' code
Box        one of those others: the process of one file. It answers requests through two pipes of its own
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from ..gradcheck.command.channel import Channel, WallClock, WorkerFailed
from ..gradcheck.command.process import ROOT, ending
from .inside.orders import ORDER, REPLY

LONGEST_REPLY = 32 << 20  # bytes
WALL = 4.0  # the time that may pass, as a multiple of the processor time, plus `GRACE` seconds
GRACE = 4.0
START = 60.0  # seconds in which the starter must answer

# The packages above `inside` are empty here: their own files would import the references.
BOOT = """
import sys, types
root, numpy = sys.argv.pop(1), sys.argv.pop(1)
sys.path.append(numpy)
for name in ("", ".course", ".exercises", ".gradcheck", ".gradcheck.command"):
    package = sys.modules["nnscratch" + name] = types.ModuleType("nnscratch" + name)
    package.__path__ = [root + ("/nnscratch" + name).replace(".", "/")]
from nnscratch.course.inside.main import main
main()
"""
ENVIRONMENT = {
    "PYTHONHASHSEED": "0",  # the order of a set of texts is the same in every run
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "LC_ALL": "C.UTF-8",
}


class StarterFailed(Exception):
    """The process that starts others does not answer."""


class ProcessorClock:
    """A limit for the processor time of a process, and a wider one for the time that passes.

    Parameters
    ----------
    pid : int
    seconds : float
        The limit for the processor time.
    """

    def __init__(self, pid: int, seconds: float):
        self.seconds = seconds
        self._clock = (~pid << 3) | 2 if sys.platform == "linux" else None  # the clock of another process
        self._wall = WallClock(seconds * WALL + GRACE)

    def used(self) -> float:
        """Return the processor time so far, in seconds; 0 where it cannot be read."""
        if self._clock is not None:
            with contextlib.suppress(OSError):
                return time.clock_gettime(self._clock)
        return 0.0

    def left(self) -> float:
        """Return a time to wait until the next look at the limits. Raise WorkerFailed if one is reached."""
        left = self.seconds - self.used()
        if left <= 0:
            raise WorkerFailed(f"not finished after {self.seconds:g} seconds of processor time")
        try:
            return min(left + 0.001, self._wall.left())
        except WorkerFailed as error:
            raise WorkerFailed(f"{error}. It waits, or sleeps") from None


class Starter:
    """The process that starts others. Use it in a ``with`` block, which ends it."""

    def __init__(self) -> None:
        self._control, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._control.settimeout(START)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-B", "-c", BOOT, ROOT, str(Path(np.__file__).parents[1])],
            stdin=other,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=ENVIRONMENT,
            cwd="/",
            start_new_session=True,
        )
        other.close()

    def __enter__(self) -> Starter:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        self._control.close()
        self._process.kill()
        self._process.wait()

    def order(self, kind: bytes, *numbers: int, descriptors: tuple[int, ...] = ()) -> tuple[int, int]:
        """Give an order, and return the two numbers that come back.

        Raises
        ------
        StarterFailed
            There is no answer.
        """
        data = ORDER.pack(kind, *numbers, *[0] * (3 - len(numbers)))
        try:
            if descriptors:
                socket.send_fds(self._control, [data], list(descriptors))
            else:
                self._control.sendall(data)
            reply = self._control.recv(REPLY.size, socket.MSG_WAITALL)
            return REPLY.unpack(reply)
        except (OSError, ValueError) as error:
            raise StarterFailed(f"{type(error).__name__}: {error}") from None
        except Exception as error:  # struct.error: the socket is closed
            raise StarterFailed(f"it ended: {error}") from None


class Box:
    """The process of one student's file. Use it in a ``with`` block, which kills it.

    Parameters
    ----------
    starter : Starter
    seed : int
        The state of the global random generators before each call of a student's function.
    seconds : float
        The limit for the processor time of all requests together.
    memory : int
        The limit for the address space, in megabytes.

    Attributes
    ----------
    used : float
        The processor time of the process in seconds, after its end.
    """

    def __init__(self, starter: Starter, seed: int, seconds: float, memory: int):
        self._starter = starter
        self._pid, self._code, self.used = 0, 0, 0.0
        requests_out, requests = os.pipe()
        replies, replies_in = os.pipe()
        self._pipes = [requests, replies]
        try:
            numbers = seed, int(seconds) + 2, memory << 20
            self._pid, _ = starter.order(b"f", *numbers, descriptors=(requests_out, replies_in))
        except StarterFailed:
            self.close()
            raise
        finally:
            os.close(requests_out)
            os.close(replies_in)
        self._channel = Channel(requests, replies, self._ending, self.close, longest=LONGEST_REPLY)
        self._channel.clock = ProcessorClock(self._pid, seconds)

    def __enter__(self) -> Box:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    @property
    def failed(self) -> bool:
        """True if the process cannot be used any more."""
        return self._channel.failed

    def request(self, operation: str, **values: Any) -> Any:
        """Send a request and return the reply. Raise WorkerFailed if there is none, or if it is an error."""
        return self._channel.request(operation, **values)

    def _ending(self) -> str:
        """Say how the process ended. It has closed its pipe, and is killed here if it still runs."""
        time.sleep(0.002)  # between the end of the pipe and the end of the process
        return f"its process ended without a report ({ending(self._end())})"

    def _end(self) -> int:
        """Kill the process if it still runs, and return its exit code."""
        if self._pid:
            status, used = self._starter.order(b"e", self._pid)
            self._code, self.used, self._pid = os.waitstatus_to_exitcode(status), used / 1e6, 0
        return self._code

    def close(self) -> None:
        """Kill the process. Then `used` is known."""
        for pipe in self._pipes:
            with contextlib.suppress(OSError):
                os.close(pipe)
        self._pipes = []
        self._end()


def missing_protections(starter: Starter) -> list[str]:
    """Return what a student's file could do, and what must be refused: ``["reading files", "the network"]``."""
    with Box(starter, seed=0, seconds=10.0, memory=1024) as box:
        return [str(name) for name in box.request("missing", folder=ROOT)]
