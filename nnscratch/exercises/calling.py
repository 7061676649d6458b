"""Call a student's functions. Convert the results to arrays, which can be sent to the process that checks them.

This file runs in the process of the student's code. So it must not import solutions, because the student's code could
call them. It imports only NumPy, and the modules for the messages between the two processes.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np

from ..gradcheck.command import wire
from ..gradcheck.command.refused import Refused

DRIVER = "driver:"
PRINTED = 1500  # the number of characters that are kept of the text that the student's code prints


class FirstCharacters:
    """A text file that keeps the first `PRINTED` characters, and drops the rest of the text."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text[: PRINTED - len(self.text)] if len(self.text) < PRINTED else ""
        return len(text)

    def flush(self) -> None:
        """Do nothing: there is no buffer."""

    def isatty(self) -> bool:
        return False


def in_file(error: BaseException, path: str) -> str:
    """Return an error as text. If the traceback has a line of the student's file, add it, such as " (line 7)"."""
    if isinstance(error, Refused):
        return str(error)
    if isinstance(error, MemoryError):
        text = "MemoryError: your code needs too much memory"
    elif isinstance(error, SystemExit):
        text = f"it calls sys.exit({error.code!r})"
    elif isinstance(error, FloatingPointError) and "overflow" in str(error):
        text = f"{error}: the result is larger than the largest floating-point number"
    else:
        text = f"{type(error).__name__}: {' '.join(str(error).split())}"
    own = Path(path).absolute()
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).absolute() == own]
    return f"{text} (line {lines[-1]})" if lines else text


def call(
    load: Callable, function: str, inputs: list, returns: list[str], withheld: Collection[str], overflow: str = "ignore"
) -> tuple:
    """Call a student's function, and return the values that it returns. `returns` contains their names.

    Return None instead of each value whose name is in `withheld`.

    Parameters
    ----------
    load : callable
        Returns the student's function with a given name.
    function : str
    inputs : list
    returns : list of str
    withheld : collection of str
        The names of values that stay in this process, such as the cache.
    overflow : str
        With "raise", an overflow in NumPy raises an error. With "ignore", it does not.

    Raises
    ------
    Refused
        The function does not return the values in `returns`, or it changes its arguments.
    """
    called, title = load(function), function.removeprefix(DRIVER)
    own = [copy_of(x) for x in inputs]
    with np.errstate(all="ignore", over=overflow):
        given = called(*own)
    values = (given,) if len(returns) == 1 else given
    if given is None:
        raise Refused(f"{title} returns None. Its last line must be: return {', '.join(returns)}")
    if not isinstance(values, (tuple, list)) or len(values) != len(returns):
        came = f"{len(values)} values" if isinstance(values, (tuple, list)) else f"one {type(values).__name__}"
        raise Refused(f"{title} must return {' and '.join(returns)}. It returns {came}")
    check_unchanged(title, own, inputs)
    return tuple(None if n in withheld else sendable(title, n, v) for n, v in zip(returns, values, strict=True))


def check_unchanged(title: str, own: list, inputs: list) -> None:
    """Raise Refused if the call has changed `own`, the copies of `inputs` that the function received."""
    for x, before in zip(own, inputs, strict=True):
        if isinstance(x, np.ndarray) and not np.array_equal(x, before, equal_nan=True):
            raise Refused(
                f"{title} changes one of its arguments, an array of shape {np.shape(before)}. Work on a copy: an "
                f"operation such as x -= 1 or x[i] = 0 writes into the caller's array"
            )


def copy_of(value: Any) -> Any:
    """Return a copy of an array or a dictionary. Return any other value unchanged."""
    return value.copy() if isinstance(value, (np.ndarray, dict)) else value


def sendable(title: str, name: str, value: Any) -> Any:
    """Return a value as an array, or a dictionary of arrays, that can be sent to another process.

    Raises
    ------
    Refused
        `value` is not an array of numbers, a number, or a dictionary of these.
    """
    if isinstance(value, dict):
        return {str(k): sendable(title, f"{name}[{k!r}]", v) for k, v in value.items()}
    if value is None:
        raise Refused(f"{title}: {name} is None. It must be an array")
    if isinstance(value, (list, tuple)):
        raise Refused(f"{title}: {name} is a {type(value).__name__}. Make an array of it: np.array({name})")
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.asarray(None)
    if array.dtype.str not in wire.DTYPES:
        raise Refused(f"{title}: {name} must be an array of numbers, got {type(value).__name__}")
    return array
