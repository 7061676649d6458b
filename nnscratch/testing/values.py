"""Compare the values of an answer with the right ones, and say where they differ and why.

A gradient check compares backward with the same answer's forward. If both forget the bias, for example, the check
passes. So an exercise must also compare the values of forward with the right ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .hints import STILL_DOTS
from .safe_values import describe

EPSILONS = 1000  # values match if they differ by at most this many times the precision of their dtype
DIGITS = 6  # significant digits in a message; twice as many if the two numbers would look equal
SMALL = 1e-6  # a relative error below SMALL can come from rounding in float32


def assert_values_match(
    values: Any, expected: Any, name: str = "The result", mistakes: Mapping[str, Any] | None = None
) -> None:
    """Raise an error that names the first difference, unless `values` are equal to `expected` within a tolerance.

    The tolerance depends on the dtype of `values`, so an answer in float32 can match too. It is relative to the largest
    absolute value in `expected`.

    Parameters
    ----------
    values : ndarray or float
        The answer.
    expected : ndarray or float
        The right values.
    name : str
        The name of the answer: the message begins with it.
    mistakes : dict, optional
        Maps a sentence about a mistake to the values that this mistake gives. The message ends with the first sentence
        whose values match. If none matches, the function tries general mistakes: a factor, a wrong sign, a transposed
        array, and rows that all differ by the same numbers.

    Raises
    ------
    AssertionError
        `values` is not an array or a number, or its shape is wrong, or a value is wrong.

    Examples
    --------
    >>> x = np.array([[1.0, 2.0], [3.0, 5.0]])
    >>> assert_values_match(x.sum(axis=0), np.array([4.0, 7.0]), "The sum over the rows")
    >>> assert_values_match(x.mean(axis=0), np.array([4.0, 7.0]), "The sum over the rows")
    Traceback (most recent call last):
    ...
    AssertionError: The sum over the rows must be 4 at [0], yours is 2. Every value is 0.5 times the right one.
    """
    __tracebackhide__ = True
    message = difference(values, np.asarray(expected, np.float64), name, mistakes or {})
    if message:
        raise AssertionError(message)


def difference(values: Any, right: np.ndarray, name: str, mistakes: Mapping[str, Any]) -> str:
    """Return the message of the error, or an empty string if the values match."""
    if values is ...:
        return STILL_DOTS
    wanted = f"an array of shape {right.shape}" if right.ndim else "one number"
    yours = np.asarray(None if isinstance(values, (list, tuple)) else values)
    if yours.dtype.kind not in "fiub":
        return f"{name} must be {wanted}, not {describe(values)}"
    if not right.ndim and yours.ndim:
        return f"{name} must be one number, yours has the shape {yours.shape}"
    if yours.shape != right.shape:
        transposed = " Is it transposed?" if yours.shape == right.shape[::-1] else ""
        return f"{name} must have the shape {right.shape}, yours has {yours.shape}.{transposed}"
    wrong = ~close(yours, right, right)
    if not wrong.any():
        return ""
    at = tuple(int(i) for i in np.argwhere(wrong)[0])
    place = f" at {list(at)}" if at else ""
    alike = number(right[at], DIGITS) == number(yours[at], DIGITS)
    wanted, given = (number(value[at], 2 * DIGITS if alike else DIGITS) for value in (right, yours))
    first = f"{name} must be {wanted}{place}, yours is {given}"
    return f"{first}. {cause(yours, right, mistakes)}".rstrip()


def close(yours: np.ndarray, right: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return True for each value of `yours` that differs from `right` by no more than the tolerance."""
    precision = np.finfo(np.float64).eps
    if yours.dtype.kind == "f":
        precision = max(precision, np.finfo(yours.dtype).eps)  # the expected values are float64
    with np.errstate(invalid="ignore", over="ignore"):
        return (yours == right) | (np.abs(yours - right) <= EPSILONS * precision * np.abs(scale).max(initial=0))


def number(value: Any, digits: int) -> str:
    """Return a number as text."""
    return f"{float(value) + 0.0:.{digits}g}"


def cause(yours: np.ndarray, right: np.ndarray, mistakes: Mapping[str, Any]) -> str:
    """Return a sentence about the mistake that gives the values `yours`, or an empty string."""
    for words, values in mistakes.items():
        if np.shape(values) == yours.shape and close(yours, np.asarray(values), right).all():
            return words
    if not np.isfinite(yours).all() or not np.isfinite(right).all():
        return ""
    if np.abs(yours - right).max() < SMALL * np.abs(right).max():
        return "The difference is as small as the rounding of float32: is a part of your answer computed in float32?"
    if yours.ndim and yours.dtype.kind in "iub" and (right != np.round(right)).any():
        return f"An array of {yours.dtype} cannot hold fractions."
    if not yours.any():
        return "All your values are 0." if yours.ndim else ""
    factor = (yours * right).sum() / (right * right).sum() if right.any() else 0.0
    if close(yours, -right, right).all():
        return "The sign is wrong."
    if yours.size > 1 and close(yours, factor * right, right).all():
        return f"Every value is {factor:.4g} times the right one."
    if yours.ndim == 2 and len(yours) == len(yours.T) and close(yours.T, right, right).all():
        return "It is transposed."
    rows = (yours - right).reshape(-1, yours.shape[-1]) if yours.ndim > 1 else np.zeros((1, 1))
    if len(rows) > 1 and close(rows, rows[:1], right).all():
        return "All rows differ from the right ones by the same numbers: is a bias missing, or added twice?"
    return ""
