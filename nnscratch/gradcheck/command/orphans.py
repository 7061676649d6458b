"""Find and kill processes that left the worker's process group (Linux).

If the parent of a process ends, the process becomes an orphan and gets a new parent. The new parent is the nearest
ancestor that is a "child subreaper". If no ancestor is a subreaper, the new parent is process 1. While a worker runs,
the judge is a subreaper. So the worker's processes become children of the judge when the worker ends, and the judge can
kill them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time

PR_SET_CHILD_SUBREAPER, PR_GET_CHILD_SUBREAPER = 36, 37
LONGEST = 2.0  # `kill` stops after this number of seconds, because a process may start new processes without end


class Orphans:
    """The processes that lose their parent after this object is created. Call `kill` to kill them.

    Until `kill` is called, such processes become children of this process. On systems other than Linux, this class does
    nothing.
    """

    def __init__(self) -> None:
        self._earlier: set[int] = set()
        self._prctl = None
        if sys.platform != "linux" or not os.path.exists("/proc/self/stat"):
            return
        import ctypes  # not every Python has ctypes, so import it here

        self._was = ctypes.c_int(0)
        with contextlib.suppress(OSError, AttributeError):
            self._prctl = ctypes.CDLL(None).prctl
            self._prctl(PR_GET_CHILD_SUBREAPER, ctypes.byref(self._was))
            self._prctl(PR_SET_CHILD_SUBREAPER, 1)
            self._earlier = children()

    def kill(self) -> None:
        """Kill the orphans and the processes that they started. After that, this process gets no new orphans."""
        if self._prctl is None:
            return
        end = time.monotonic() + LONGEST
        while (found := children() - self._earlier) and time.monotonic() < end:
            for pid in found:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
        self._prctl(PR_SET_CHILD_SUBREAPER, self._was.value)


def children() -> set[int]:
    """Return the ids of the children of this process."""
    found = set()
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError), open(f"/proc/{name}/stat", "rb") as stat:
                # The second field is the name of the program, which may contain spaces and brackets.
                if int(stat.read().rpartition(b")")[2].split()[1]) == os.getpid():
                    found.add(int(name))
    return found
