"""Run each file of a student in a separate process, and stop the process when it reaches a limit.

    Starter    a process that starts a process for each file. It has imported NumPy already, and never runs students'
               code
    Box        the process for one file. It runs the file, and answers the judge's requests through two pipes

The judge is the process that draws the inputs and decides the marks (judging.py).
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..gradcheck.command.channel import Channel, WorkerFailed
from ..gradcheck.command.orphans import Orphans
from ..gradcheck.command.process import ROOT, ending
from .inside.orders import ORDER, REPLY

LONGEST_REPLY = 32 << 20  # the largest number of bytes in a reply
WAIT = 2.0  # seconds. The judge stops a process that waits longer than this in total. A right solution never waits
WAITS = "it waited for something"
LOOK = 0.05  # the number of seconds between two checks of the limits
START = 60.0  # the starter must answer within this number of seconds

# The program of the starter. The program replaces nnscratch and four of its packages by empty modules. Otherwise,
# Python would run the __init__.py files of these packages, which import solutions.
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
    "PYTHONHASHSEED": "0",  # the order of a set of strings is the same in every run
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "LC_ALL": "C.UTF-8",
}


PASSED = ("LD_LIBRARY_PATH",)  # the starter gets this variable of the judge's environment, because Python may need it


class StarterFailed(Exception):
    """The process that starts the students' processes does not answer."""


class ProcessorClock:
    """Two limits for a process: one for its processor time, one for the time during which it waits.

    Linux shows whether a process waits for an event or only for a free processor. Only waiting for an event counts. So
    the limits, and the marks, do not depend on the other programs that run on the computer. On other systems, all time
    counts as waiting.

    Parameters
    ----------
    pid : int
    seconds : float
        The limit for the processor time. On Linux, the limit for waiting is `seconds` too, but at most `WAIT`. On other
        systems, the limit for waiting is ``3 * seconds + WAIT``.

    Attributes
    ----------
    over : bool
        True if a limit was reached.
    """

    def __init__(self, pid: int, seconds: float):
        self.seconds, self.over = seconds, False
        self._linux = sys.platform == "linux"
        self._clock = (~pid << 3) | 2  # in Linux, the number of the clock that measures the processor time of `pid`
        self._state = f"/proc/{pid}/stat"
        self._longest = min(WAIT, seconds) if self._linux else seconds * 3 + WAIT
        self._waiting, self._asleep, self._last = 0.0, False, time.monotonic()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Apply the limits in a ``with`` block. In this block, the process must answer a request."""
        self._asleep, self._last = not self._linux, time.monotonic()
        yield

    def left(self) -> float:
        """Return the time until the next check of the limits. Raise WorkerFailed if a limit is reached.

        The channel calls this method while it waits for a reply. If the process sleeps now and slept at the previous
        call, the time between the two calls counts as waiting time.
        """
        left = self.seconds - self._used()
        if left <= 0:
            self.over = True
            raise WorkerFailed(f"not finished after {self.seconds:.3g} seconds of processor time")
        before, now = self._asleep, time.monotonic()
        self._asleep = self._sleeps()
        if before and self._asleep:
            # The system may have paused the judge itself for a long time, so add at most twice the time between checks.
            self._waiting += min(now - self._last, 2 * LOOK)
        self._last = now
        if self._waiting >= self._longest:
            self.over = True
            raise WorkerFailed(f"not finished after {self._longest:.3g} seconds in which {WAITS}")
        return min(left + 0.001, LOOK)

    def _used(self) -> float:
        """Return the processor time so far, in seconds.

        Return 0 if the time cannot be measured, for example after the end of the process.
        """
        if self._linux:
            with contextlib.suppress(OSError):
                return time.clock_gettime(self._clock)
        return 0.0

    def _sleeps(self) -> bool:
        """Return True if the process sleeps, or if its state is unknown."""
        if self._linux:
            with contextlib.suppress(OSError), open(self._state, "rb") as stat:
                return stat.read().rpartition(b") ")[2][:1] == b"S"
        return True


class Starter:
    """The process that starts the students' processes. Use it in a ``with`` block: it ends at the end of the block.

    Parameters
    ----------
    trust : bool
        True if the files may run without the sandbox, which blocks forbidden actions. Without the sandbox, a student's
        process can start other processes, so `Box` kills these processes too.
    """

    def __init__(self, trust: bool = False) -> None:
        self.trust = trust
        self._control, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._control.settimeout(START)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-B", "-c", BOOT, ROOT, str(Path(np.__file__).parents[1])],
            stdin=other,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=ENVIRONMENT | {name: os.environ[name] for name in PASSED if name in os.environ},
            cwd="/",
            start_new_session=True,
        )
        other.close()

    def __enter__(self) -> Starter:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    def close(self) -> None:
        """End the process."""
        self._control.close()
        self._process.kill()
        self._process.wait()

    def order(self, kind: bytes, *numbers: int, descriptors: tuple[int, ...] = ()) -> tuple[int, int]:
        """Send an order, and return the two numbers of the reply.

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
        except Exception as error:  # unpack raises struct.error if the socket is closed
            raise StarterFailed(f"it ended: {error}") from None


class Box:
    """The process of one student's file. Use it in a ``with`` block: the end of the block kills the process.

    Parameters
    ----------
    starter : Starter
    seed : int
        Before each call of a student's function, the global random generators are set to this seed.
    seconds : float
        The limit for the processor time of all requests together.
    memory : int
        The limit for the address space, in megabytes.

    Attributes
    ----------
    used : float
        The processor time of the process in seconds, known only after the end of the process.
    """

    def __init__(self, starter: Starter, seed: int, seconds: float, memory: int):
        self._starter = starter
        self._pid, self._code, self.used = 0, 0, 0.0
        requests_out, requests = os.pipe()
        replies, replies_in = os.pipe()
        self._pipes = [requests, replies]
        self._orphans = Orphans() if starter.trust else None
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
        self._clock = self._channel.clock = ProcessorClock(self._pid, seconds)

    def __enter__(self) -> Box:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    @property
    def failed(self) -> bool:
        """True if the process cannot be used any more."""
        return self._channel.failed

    @property
    def over(self) -> bool:
        """True if the process has reached a limit for its time."""
        return self._clock.over

    def request(self, operation: str, **values: Any) -> Any:
        """Send a request and return the reply. Raise WorkerFailed if there is no reply, or if the reply is an error."""
        with self._clock.running():
            return self._channel.request(operation, **values)

    def _ending(self) -> str:
        """Return a text that says how the process ended. If the process still runs, kill it first."""
        time.sleep(0.002)  # the process has closed its pipe, and may need a moment to end
        return f"its process ended without a report ({ending(self._end())})"

    def _end(self) -> int:
        """Kill the process if it still runs, and return its exit code."""
        if self._pid:
            status, used = self._starter.order(b"e", self._pid)
            self._code, self._pid = os.waitstatus_to_exitcode(status), 0
            self.used = used / 1e6
        return self._code

    def close(self) -> None:
        """Kill the process, and store its processor time in `used`."""
        for pipe in self._pipes:
            with contextlib.suppress(OSError):
                os.close(pipe)
        self._pipes = []
        self._end()
        if self._orphans is not None:
            self._orphans.kill()
            self._orphans = None


def missing_protections(starter: Starter) -> list[str]:
    """Return the forbidden actions that the sandbox does not block, such as ``["reading files", "the network"]``."""
    with Box(starter, seed=0, seconds=10.0, memory=1024) as box:
        return [str(name) for name in box.request("missing", folder=ROOT)]
