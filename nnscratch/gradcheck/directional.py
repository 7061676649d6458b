"""Directional mode: the slopes of an array along random directions, and where the wrong elements are.

A direction moves all elements at once, so a slope costs as much in a large array as in a small one. A mistake that
nothing explains is looked for by directions through a part of the array only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import backend
from .differences import Differences
from .numerical import Derivative, random_direction
from .report import Entry
from .verdict import suspicious

Slopes = list[tuple[np.ndarray, Derivative]]  # directions, and the derivatives along them


def slopes_along(differences: Differences, array: Any, count: int, rng: np.random.Generator) -> Slopes:
    """`count` random directions, and the derivative along each."""
    found = []
    for _ in range(count):
        v = random_direction(array.shape, rng)
        found.append((v, differences.slope(array, v)))
    return found


def entry_of(name: str, analytic: np.ndarray, slopes: Slopes) -> Entry:
    """The entry of an array whose slopes along some directions are known."""
    said = np.array([float((analytic * v).sum()) for v, _ in slopes])
    columns = [np.array([getattr(d, k) for _, d in slopes]) for k in ("value", "uncertainty", "low", "high")]
    entry = Entry(name, analytic.shape, said, *columns, kinks=sum(d.kink for _, d in slopes))
    entry.checked = len(slopes)
    return entry


# --- which elements are looked at ------------------------------------------------------------------------------------


def sample(array: Any, analytic: np.ndarray, count: int, rng: np.random.Generator) -> list[tuple]:
    """`count` places: those of the largest and smallest value and gradient, the corners, and random ones."""
    if array.size <= count:
        return list(np.ndindex(array.shape))
    values = backend.to_numpy(array)
    picked = [
        np.abs(analytic).argmax(),
        np.abs(analytic).argmin(),
        analytic.argmax(),
        analytic.argmin(),
        values.argmax(),
        values.argmin(),
        np.abs(values).argmin(),
        0,
        array.size - 1,
    ]
    unique = list(dict.fromkeys(int(i) for i in picked))[:count]
    rest = np.setdiff1d(np.arange(array.size), unique)
    unique += [int(i) for i in rng.choice(rest, count - len(unique), replace=False)]
    return [tuple(int(i) for i in np.unravel_index(i, array.shape)) for i in unique]


def look_closer(
    differences: Differences, array: Any, analytic: np.ndarray, slopes: Slopes, samples: int, rng: np.random.Generator
) -> str:
    """Words on where the wrong elements are: the part of the array that holds them, and a sample of them."""
    from .diagnosis import worst

    box = narrowed(differences, array, analytic, slopes)
    starts = [part.start for part in box]
    places = [tuple(np.add(place, starts).tolist()) for place in sample(array[box], analytic[box], samples, rng)]
    entry = Entry("", array.shape, analytic, *differences.elements(array, places))
    count = len(suspicious(entry, differences.tolerance()))
    if analytic[box].size == 1 == count:
        return f"; all that is wrong is {worst(analytic, entry.numeric, 1)}"
    where = ", ".join(f"{part.start}:{part.stop}" for part in box)
    words = f"; all that is wrong lies in [{where}]" if analytic[box].size < analytic.size else ""
    words += f"; wrong are {count} of {len(places)} elements looked at{' there' if words else ''}"
    return words + (f": {worst(analytic, entry.numeric, min(count, 3))}" if count else "")


def narrowed(differences: Differences, array: Any, analytic: np.ndarray, slopes: Slopes) -> tuple[slice, ...]:
    """The part of an array that holds all that is wrong: axis by axis, how much at either end is right?

    It is right if its share in a slope is right, and known to a hundredth of what is wrong in the whole slope.
    """
    wrong = [abs(float(np.vdot(analytic, v)) - d.value) for v, d in slopes]
    (v, _), most = slopes[int(np.argmax(wrong))], max(wrong)
    box = [slice(0, length) for length in array.shape]

    def is_wrong(axis: int, indices: slice) -> bool:
        part, at = np.zeros(array.shape), (*box[:axis], indices, *box[axis + 1 :])
        part[at] = v[at]
        d, said = differences.slope(array, part), float(np.vdot(analytic, part))
        near = 3 * d.uncertainty + d.high - d.low
        return not abs(said - d.value) <= near <= 1e-2 * most

    for axis, n in enumerate(array.shape):
        first = fewest(lambda k, axis=axis: is_wrong(axis, slice(0, k)), n) - 1
        last = n - fewest(lambda k, axis=axis, n=n: is_wrong(axis, slice(n - k, n)), n) + 1
        if first < last:  # else nothing was wrong in either part: what is wrong is too small to be followed
            box[axis] = slice(first, last)
    return tuple(box)


def fewest(is_so: Callable[[int], bool], most: int) -> int:
    """The smallest k from 1 to `most` for which it is so, by bisection; if it is so for k, it is for all above."""
    low, high = 0, 1
    if not is_so(1):
        low, high = 1, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_so(middle) else (middle, high)
    return high
