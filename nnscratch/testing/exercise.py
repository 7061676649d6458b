"""Exercises in notebooks: check an answer without stopping the notebook, and a fast mode.

A failing assertion would stop a notebook that runs from top to bottom. Inside ``with exercise("1"):`` it is printed as
a short message that says what is not right yet.
"""

from __future__ import annotations

import linecache
import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

LONGEST = 300  # characters of a message; a longer one is cut, so that it stays a hint


def fast() -> bool:
    """Return True if a notebook should use fewer steps: the environment variable ``NNSCRATCH_FAST`` is set and not 0.

    Examples
    --------
    >>> epochs = 2 if fast() else 30
    """
    return os.environ.get("NNSCRATCH_FAST", "0") not in ("", "0")


@contextmanager
def exercise(name: str) -> Iterator[None]:
    """Run the checks of an exercise and print the result. Exceptions are printed, and do not leave the ``with`` block.

    Parameters
    ----------
    name : str
        The number or name of the exercise, for the message.

    Examples
    --------
    >>> def double(x):
    ...     return ...
    >>> with exercise("1"):
    ...     assert double(3) == 6, "double(3) must be 6"
    Exercise 1: not yet. double(3) must be 6
    >>> def double(x):
    ...     return 2 * x
    >>> with exercise("1"):
    ...     assert double(3) == 6
    Exercise 1: solved.
    """
    try:
        yield
    except Exception as error:
        print(f"Exercise {name}: not yet. {reason(error)}")
    else:
        print(f"Exercise {name}: solved.")


def reason(error: Exception) -> str:
    """Return a few lines that say why, without a traceback and without digits that differ between machines."""
    report = getattr(error, "report", None)
    if report is not None:
        return wrong_gradients(report)
    if isinstance(error, TypeError) and "ellipsis" in str(error):
        return "Your code still contains `...`: replace it with your answer."
    lines = [line.rstrip() for line in str(error).splitlines() if line.strip()]
    if isinstance(error, AssertionError):
        words = "\n    ".join(lines[:4]) or f"This does not hold: {failing_line(error)}"
    else:
        words = ": ".join([type(error).__name__, *lines[:1]])
    return words if len(words) <= LONGEST else words[:LONGEST].rstrip() + " ..."


def wrong_gradients(report) -> str:
    """Return one line for each wrong array: its worst element, and the mistake that explains it."""
    lines = []
    for entry in report:
        if entry.verdict == "right":
            continue
        analytic, numeric = entry.worst
        at = "[" + ", ".join(str(int(i)) for i in entry.worst_index) + "]"
        line = f"The gradient of {entry.name}: {entry.verdict}"
        if analytic == analytic and numeric == numeric:
            line += f", backward says {analytic:.3g} at {at}, differences say {numeric:.3g}"
        if entry.reason:
            line += " (" + entry.reason.split("; ")[0] + ")"  # without the list of elements
        lines.append(line + (f"; {entry.diagnosis.mistake}" if entry.diagnosis else "") + ".")
    lines += [f"{trap.kind}: {trap.message}" for trap in report.traps if trap.severity != "note"]
    return "\n    ".join(lines[:4])


def failing_line(error: Exception) -> str:
    """Return the source of the assertion that failed, or of the last line in the traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    for frame in reversed(frames):
        line = linecache.getline(frame.filename, frame.lineno or 0).strip()
        if line.startswith("assert"):
            return line
    return frames[-1].line or "" if frames else ""
