"""The end of training before its last step: after Ctrl-C, or because a callback or another process stops it."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .trainer import Trainer

INTERRUPTED = "interrupted"


def reason_to_stop(trainer: Trainer) -> str | None:
    """Return ``trainer.stop``. If several processes train together and one has a reason, all of them return it."""
    stop = trainer.stop if trainer.together is None else trainer.together.agree(trainer.stop)
    if stop is not None:
        trainer.stop = stop
    return stop


@contextlib.contextmanager
def finish_step_on_ctrl_c(trainer: Trainer) -> Iterator[None]:
    """Inside the block, the first Ctrl-C sets ``trainer.stop``, so that training ends after the current step.

    A second Ctrl-C raises KeyboardInterrupt as usual. Python allows signal handlers in the main thread only. In any
    other thread, this function has no effect.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.getsignal(signal.SIGINT)

    def stop_after_this_step(signum: int, frame: Any) -> None:
        trainer.stop = INTERRUPTED
        signal.signal(signal.SIGINT, previous)

    signal.signal(signal.SIGINT, stop_after_this_step)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
