"""For notebooks that teach: a cell that checks an exercise without stopping the notebook, and a fast mode.

A failing assertion would end a run of the notebook from top to bottom. Inside ``with exercise("1"):`` it becomes one
line of text that says what is not right yet.
"""

from __future__ import annotations

import linecache
import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

LONGEST = 300  # characters of a reason; more is no longer a hint but a wall


def fast() -> bool:
    """Whether a notebook should do with fewer steps: the environment variable ``NNSCRATCH_FAST`` is set, and not to 0.

    Examples
    --------
    >>> epochs = 2 if fast() else 30
    """
    return os.environ.get("NNSCRATCH_FAST", "0") not in ("", "0")


@contextmanager
def exercise(name: str) -> Iterator[None]:
    """Run the checks of an exercise, and print whether they hold; what they raise goes no further.

    Parameters
    ----------
    name : str
        The exercise's number or name, for the line printed.

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
    """One or a few lines that say why: no traceback, and no digits that differ from machine to machine."""
    report = getattr(error, "report", None)
    if report is not None:
        return wrong_gradients(report)
    if isinstance(error, TypeError) and "ellipsis" in str(error):
        return "Something that was to be written is still `...`."
    lines = [line.rstrip() for line in str(error).splitlines() if line.strip()]
    if isinstance(error, AssertionError):
        words = "\n    ".join(lines[:4]) or f"This does not hold: {failing_line(error)}"
    else:
        words = ": ".join([type(error).__name__, *lines[:1]])
    return words if len(words) <= LONGEST else words[:LONGEST].rstrip() + " ..."


def wrong_gradients(report) -> str:
    """What a gradient check found, an array a line: its worst element, and the mistake that explains it."""
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
            line += " (" + entry.reason.split("; ")[0] + ")"  # what follows is where to look: for a report
        lines.append(line + (f"; {entry.diagnosis.mistake}" if entry.diagnosis else "") + ".")
    lines += [f"{trap.kind}: {trap.message}" for trap in report.traps if trap.severity != "note"]
    return "\n    ".join(lines[:4])


def failing_line(error: Exception) -> str:
    """The source of the assertion that failed: the last line of the user's own code on the way to it."""
    frames = traceback.extract_tb(error.__traceback__)
    for frame in reversed(frames):
        line = linecache.getline(frame.filename, frame.lineno or 0).strip()
        if line.startswith("assert"):
            return line
    return frames[-1].line or "" if frames else ""
