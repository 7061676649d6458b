"""Channel: send requests to another process and read its replies, with limits for time and size.

The judge, which decides the verdict, uses a channel to the worker, which runs the student's code.
"""

from __future__ import annotations

import itertools
import os
import select
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from . import wire


class WorkerFailed(Exception):
    """The worker sent no valid reply, or the reply says that the student's code raised an error."""


class Clock(Protocol):
    """A time limit."""

    def left(self) -> float:
        """Return the number of seconds to wait before the next call of `left`. Raise WorkerFailed after the limit."""


class WallClock:
    """A limit for the real time since the object was created."""

    def __init__(self, seconds: float):
        self.seconds, self._end = seconds, time.monotonic() + seconds

    def left(self) -> float:
        """Return the seconds that are left. Raise WorkerFailed after the limit."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise WorkerFailed(f"not finished after {self.seconds:g} seconds")
        return min(left, 1e6)


class Channel:
    """Send requests into one pipe, and read the replies from another.

    Parameters
    ----------
    requests, replies : int
        The descriptors of the pipes.
    ending : callable
        Returns a text that says how the process ended.
    stop : callable
        Ends the process. Only Windows needs this function, because a read from a pipe has no time limit there.
    longest : int
        The largest number of bytes that the arrays of a reply may have.

    Attributes
    ----------
    clock : Clock
        The time limit for all requests together.
    failed : bool
        True if the process cannot be used any more: it ended, took too long, or sent an invalid reply.
    """

    def __init__(
        self,
        requests: int,
        replies: int,
        ending: Callable[[], str],
        stop: Callable[[], None],
        longest: int = wire.MAX_BODY,
    ):
        self.failed = False
        self.clock: Clock = WallClock(float("inf"))
        self._numbers = itertools.count(1)
        self._requests, self._replies = requests, replies
        self._ending, self._stop, self._longest = ending, stop, longest
        if os.name == "posix":
            os.set_blocking(requests, False)

    def request(self, operation: str, **values: Any) -> Any:
        """Send a request and return the reply.

        Raises
        ------
        WorkerFailed
            There is no reply, or the reply says that the student's code raised an error.
        """
        number, watchdog = next(self._numbers), None
        self.failed = True  # set to False again after a valid reply
        if os.name != "posix":  # on Windows, select works only on sockets, so it cannot wait for a pipe
            watchdog = threading.Timer(self.clock.left(), self._stop)
            watchdog.start()
        try:
            self._write(wire.frame({"number": number, "operation": operation, **values}))
            header, body = wire.LENGTHS.unpack(self._read(wire.LENGTHS.size))
            wire.check_lengths(header, body, self._longest)
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
        """Wait until the pipe is ready, at most until the clock's limit."""
        if os.name != "posix":
            return
        waiting = ([], [descriptor], []) if to_write else ([descriptor], [], [])
        while not any(select.select(*waiting, 0)):  # check the time limit only if the pipe is not ready
            select.select(*waiting, self.clock.left())

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            self._wait(self._requests, to_write=True)
            try:
                rest = rest[os.write(self._requests, rest) :]
            except BlockingIOError:  # the pipe is full: wait again
                pass
            except OSError:
                raise WorkerFailed(self._ended()) from None

    def _read(self, count: int) -> bytes:
        chunks = []
        while count:
            self._wait(self._replies, to_write=False)
            chunk = os.read(self._replies, min(count, 1 << 20))
            if not chunk:
                raise WorkerFailed(self._ended())
            chunks.append(chunk)
            count -= len(chunk)
        return b"".join(chunks)

    def _ended(self) -> str:
        self.clock.left()  # raises an error if the process was killed because of the time limit
        return self._ending()


def printable(text: Any, longest: int) -> str:
    """Return the first `longest` characters of a text from the worker, without control characters.

    All lines after the first are indented, so that the text cannot imitate other lines of the report.
    """
    lines = ["".join(c if c.isprintable() else " " for c in line).rstrip() for line in str(text)[:longest].splitlines()]
    return "\n      ".join(lines)
