"""Protect the folder of a run while a process trains in it: a lock, and the removal of unfinished files."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .training import Callback, Trainer
from .training.interrupt import INTERRUPTED

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


FILES = (
    "config.json", "tokenizer.json", "checkpoint.safetensors", "model.safetensors", "history.json", "loss.png",
    "sample.txt",
)  # fmt: skip
"""The names of all files of a run."""


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Lock the file at `path` inside a ``with`` block. If the process ends, the lock ends too, even after a crash.

    On Windows, nothing is locked.

    Raises
    ------
    BlockingIOError
        Another process holds the lock.
    """
    if fcntl is None:
        yield
        return
    with open(path, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BlockingIOError(f"another process is training the run in {path.parent}") from None
        yield


def unfinished_files(folder: Path) -> list[Path]:
    """Return the temporary files that `write_atomically` leaves if the process is killed while it writes."""
    return [path for name in FILES for path in folder.glob(f".{name}.????????")]


def remove_unfinished_files(folder: Path) -> None:
    for path in unfinished_files(folder):
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def ctrl_c_for_other_signals() -> Iterator[list[int]]:
    """Inside the block, SIGTERM, SIGHUP and SIGUSR1 do what Ctrl-C does. The yielded list records these signals.

    So no work is lost when a batch system or a closed terminal ends the process. A signal that the process ignores,
    such as SIGHUP under ``nohup``, stays ignored. Python allows signal handlers in the main thread only. In any other
    thread, this function has no effect.

    Ctrl-C raises KeyboardInterrupt. Python ignores an exception that is raised in the callback of a weak reference or
    in ``__del__``. The list shows that there was a signal even then.
    """
    previous: dict[int, Any] = {}
    arrived: list[int] = []

    def as_ctrl_c(number: int, frame: Any) -> None:
        arrived.append(number)
        signal.raise_signal(signal.SIGINT)

    if threading.current_thread() is threading.main_thread():
        signals = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name)]
        previous = {number: signal.getsignal(number) for number in signals}
    for number, handler in previous.items():
        if handler == signal.SIG_DFL:
            signal.signal(number, as_ctrl_c)
    try:
        yield arrived
    finally:
        for number, handler in previous.items():
            if handler == signal.SIG_DFL:
                signal.signal(number, handler)


class StopAfterSignal(Callback):
    """End training if the list of signals is not empty."""

    def __init__(self, arrived: list[int]):
        self.arrived = arrived

    def on_step_end(self, trainer: Trainer) -> None:
        if self.arrived:
            trainer.stop = INTERRUPTED
