"""Progress bars: when to show one, and which bar of tqdm to use, on a terminal or in a notebook."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import os
import sys
from typing import Any


def in_notebook() -> bool:
    """Return True if this code runs in a notebook: Jupyter, JupyterLite or Colab.

    Examples
    --------
    >>> in_notebook()
    False
    """
    ipython = sys.modules.get("IPython")  # a notebook has imported IPython already
    shell = None if ipython is None else ipython.get_ipython()
    return hasattr(shell, "kernel")


def someone_watches() -> bool:
    """Return True if a progress bar would be seen: on a terminal or in a notebook, not in a file or a pipe.

    The environment variable TQDM_DISABLE hides all bars, as for every program with tqdm.
    """
    if os.environ.get("TQDM_DISABLE"):
        return False
    return in_notebook() or (sys.stderr is not None and sys.stderr.isatty())


class _Stream:
    """A text stream that ignores the errors of writing."""

    def __init__(self, stream: Any):
        self._stream = stream

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # ValueError: the stream is closed
            self._stream.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __eq__(self, other: Any) -> bool:  # tqdm.write compares its stream with each bar's stream
        return self._stream == other


def stream() -> Any:
    """Return stderr for the messages of a training run. Errors of writing are ignored.

    So training continues if the disk with the log is full, the terminal is closed, or the reader of a pipe has ended.
    """
    if sys.stderr is None:  # its descriptor is closed
        return io.StringIO()
    return sys.stderr if in_notebook() else _Stream(sys.stderr)


def bar(**settings: Any) -> Any:
    """Return a tqdm bar: a widget in a notebook with ipywidgets, and text elsewhere."""
    # Without ipywidgets, tqdm.auto prints a warning in a notebook.
    widgets = in_notebook() and importlib.util.find_spec("ipywidgets") is not None
    tqdm = importlib.import_module("tqdm.auto" if widgets else "tqdm").tqdm
    if sys.platform == "emscripten":
        tqdm.monitor_interval = 0  # tqdm's monitor is a thread, and a browser cannot start threads
    return tqdm(**settings)
