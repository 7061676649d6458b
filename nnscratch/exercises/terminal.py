"""Read single keys from a terminal, without the Enter key: termios on POSIX systems, msvcrt on Windows."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import time
from collections.abc import Callable, Iterator

Wait = Callable[[float], str]
"""``wait(seconds)`` returns the key that was pressed in this time, in lower case, or "" if no key was pressed."""


@contextlib.contextmanager
def keyboard() -> Iterator[Wait | None]:
    """Provide a function that waits for a key, or None if the input is not a terminal.

    Restore the terminal at the end.
    """
    if sys.stdin is None or not sys.stdin.isatty():
        yield None
    elif os.name == "nt":
        yield wait_on_windows
    else:
        import termios
        import tty

        descriptor = sys.stdin.fileno()
        before = termios.tcgetattr(descriptor)

        def wait(seconds: float) -> str:
            if termios.tcgetattr(descriptor)[3] & termios.ICANON:  # the shell resets the terminal after Ctrl-Z and fg
                tty.setcbreak(descriptor)
            return read_key(descriptor, seconds)

        try:
            tty.setcbreak(descriptor)
            yield wait
        finally:
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def read_key(descriptor: int, seconds: float) -> str:
    """Return the next key of a terminal. If the terminal is closed, return "q"."""

    def next_byte(seconds: float) -> bytes | None:
        return os.read(descriptor, 1) if select.select([descriptor], [], [], seconds)[0] else None

    try:
        pressed = next_byte(seconds)
        if pressed == b"\033":  # an arrow key sends several bytes: skip them up to the last letter
            while (more := next_byte(0)) and more in b"[O;0123456789":
                pass
            return ""
    except OSError:
        return "q"
    if pressed is None:
        return ""
    return pressed.decode(errors="replace").lower() or "q"


def wait_on_windows(seconds: float) -> str:
    """Return the next key of a console, or "" if no key was pressed."""
    import msvcrt

    end = time.monotonic() + seconds
    while not msvcrt.kbhit():
        if time.monotonic() >= end:
            return ""
        time.sleep(0.02)
    key = msvcrt.getwch().lower()
    if key == "\x03":
        raise KeyboardInterrupt
    return key
