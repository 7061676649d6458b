"""Pairs of texts for sequence-to-sequence models, and padding for sequences of different lengths."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np

from .. import backend
from ..checks import integer, one_of, positive_int

RNG = None | int | np.random.Generator
Texts = list[str]
MONTHS = "january february march april may june july august september october november december".split()
WEEKDAYS = "monday tuesday wednesday thursday friday saturday sunday".split()


def pad_sequences(
    sequences: Sequence[Any], value: int = 0, padding_side: str = "right"
) -> tuple[np.ndarray, np.ndarray]:
    """Put sequences of token ids into one array. Shorter sequences are padded, by default at the end.

    Parameters
    ----------
    sequences : sequence of N integer arrays, each of shape (T_n,)
    value : int
        The padding.
    padding_side : {"right", "left"}
        "left" to put the padding before each sequence. Then pass the same `padding_side` to the layers.

    Returns
    -------
    padded : intp array, shape (N, T), where T is the largest T_n
    lengths : integer array, shape (N,)
        The lengths T_n. Pass them as `lengths` to recurrent layers, attention and sequence-to-sequence models.

    Raises
    ------
    TypeError
        A sequence does not consist of integers.
    ValueError
        `sequences` is empty, a sequence is empty or not one-dimensional, or `padding_side` has another value.

    Examples
    --------
    >>> padded, lengths = pad_sequences([[5, 3], [7, 7, 7, 7], [1]])
    >>> padded
    array([[5, 3, 0, 0],
           [7, 7, 7, 7],
           [1, 0, 0, 0]])
    >>> lengths
    array([2, 4, 1])
    """
    arrays = [np.asarray(sequence) for sequence in sequences]
    if not arrays:
        raise ValueError("pad_sequences needs at least one sequence, got none")
    for n, a in enumerate(arrays):
        if a.ndim != 1 or not a.size:
            raise ValueError(f"sequence {n} must have shape (length,) with at least one token, got {a.shape}")
        if a.dtype.kind not in "iu":
            raise TypeError(f"sequence {n} must be integers, got {a.dtype}")
    lengths = np.array([len(a) for a in arrays])
    left = one_of("padding_side", padding_side, ("right", "left")) == "left"
    padded = np.full((len(arrays), lengths.max()), integer("value", value), dtype=np.intp)
    for row, a in zip(padded, arrays, strict=True):
        row[slice(-len(a), None) if left else slice(len(a))] = a
    return padded, lengths


def additions(count: int, digits: int = 3, rng: RNG = None) -> tuple[Texts, Texts]:
    """Draw different additions of two numbers, each with up to `digits` digits.

    Returns
    -------
    questions : list of str, such as ``"17+250"``
    answers : list of str, such as ``"267"``

    Raises
    ------
    ValueError
        `count` is larger than half the number of different questions.

    Examples
    --------
    >>> additions(3, rng=1)
    (['51+950', '1+948', '3+423'], ['1001', '949', '426'])
    """
    limit, rng = 10 ** positive_int("digits", digits), backend.generator(rng)
    if positive_int("count", count) > limit**2 // 2:
        raise ValueError(f"count must be at most {limit**2 // 2:,} with digits={digits}, got {count:,}")
    pairs: dict[tuple[int, int], None] = {}
    while len(pairs) < count:  # draw the number of digits first: otherwise most numbers would be long
        a, b = (int(rng.integers(10 ** rng.integers(1, digits + 1))) for _ in range(2))
        pairs[a, b] = None
    return [f"{a}+{b}" for a, b in pairs], [str(a + b) for a, b in pairs]


def dates(count: int, rng: RNG = None) -> tuple[Texts, Texts]:
    """Draw dates. Return each date in one of six formats that people write, and in the form ``yyyy-mm-dd``.

    Returns
    -------
    written : list of str
    standard : list of str
        The same dates, from 1770-01-01 to 2029-12-31.

    Examples
    --------
    >>> for written, standard in zip(*dates(6, rng=0), strict=True):
    ...     print(f"{written:28}{standard}")
    1 march 1991                1991-03-01
    12 august 1935              1935-08-12
    november 25, 1902           1902-11-25
    23.2.1840                   1840-02-23
    jan 14 1850                 1850-01-14
    1780/08/26                  1780-08-26
    """
    rng = backend.generator(rng)
    first, last = date(1770, 1, 1).toordinal(), date(2029, 12, 31).toordinal()
    drawn = [date.fromordinal(int(n)) for n in rng.integers(first, last + 1, positive_int("count", count))]
    return [in_words(day, int(rng.integers(6))) for day in drawn], [day.isoformat() for day in drawn]


def in_words(day: date, form: int) -> str:
    """Return a date in one of the six forms of `dates`."""
    month = MONTHS[day.month - 1]
    return [
        f"{day.day} {month} {day.year}",
        f"{month} {day.day}, {day.year}",
        f"{WEEKDAYS[day.weekday()]}, {month} {day.day}, {day.year}",
        f"{month[:3]} {day.day} {day.year}",
        f"{day.day}.{day.month}.{day.year}",
        f"{day.year}/{day.month:02}/{day.day:02}",
    ][form]
