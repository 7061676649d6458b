"""Directional mode: derivatives along random directions, and a search for the wrong elements.

A direction v is an array of random numbers with the shape of the array that is checked. A step along v adds h v to the
array, so it changes all elements together. Let f be the weighted sum of the outputs. A few forward passes measure the
derivative of f along v, even if the array is large. For a right gradient g, this derivative equals <g, v>, the sum of
the products of the elements of g and v.

If the diagnosis cannot explain a wrong gradient, this file finds the wrong elements: it measures derivatives along
directions that change only a part of the array.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .differences import Differences
from .numerical import Derivative, random_direction
from .report import Entry
from .sampling import sample_indices
from .verdict import out_of_tolerance, worst_elements

DirectionalDerivatives = list[tuple[np.ndarray, Derivative]]  # directions, each with the derivative of f along it


def measure_directions(
    differences: Differences, array: Any, count: int, rng: np.random.Generator
) -> DirectionalDerivatives:
    """Draw `count` random directions, and measure the derivative of f along each direction."""
    found = []
    for _ in range(count):
        v = random_direction(array.shape, rng)
        found.append((v, differences.directional_derivative(array, v)))
    return found


def directional_entry(name: str, analytic: np.ndarray, derivatives: DirectionalDerivatives) -> Entry:
    """Return an entry that compares the sum of ``analytic * v`` with the measured derivative, for each direction v."""
    along = np.array([float((analytic * v).sum()) for v, _ in derivatives])
    columns = [np.array([getattr(d, k) for _, d in derivatives]) for k in ("value", "uncertainty", "low", "high")]
    entry = Entry(name, analytic.shape, along, *columns, kinks=sum(d.kink for _, d in derivatives))
    entry.checked, entry.along_directions = len(derivatives), True
    return entry


def describe_wrong_elements(
    differences: Differences,
    array: Any,
    analytic: np.ndarray,
    derivatives: DirectionalDerivatives,
    samples: int,
    rng: np.random.Generator,
) -> str:
    """Return a text that says which part of the array is wrong, and shows a few wrong elements."""
    box = locate_wrong_part(differences, array, analytic, derivatives)
    starts = [part.start for part in box]
    inside = sample_indices(array[box], analytic[box], samples, rng)
    indices = [tuple(np.add(index, starts).tolist()) for index in inside]
    entry = Entry("", array.shape, analytic, *differences.element_derivatives(array, indices))
    count = len(out_of_tolerance(entry, differences.tolerance()))
    if analytic[box].size == 1 == count:
        return f"; the only wrong element is {worst_elements(analytic, entry.numeric, 1)}"
    where = ", ".join(f"{part.start}:{part.stop}" for part in box)
    words = f"; all wrong elements lie in [{where}]" if analytic[box].size < analytic.size else ""
    words += f"; {count} of {len(indices)} elements checked{' there' if words else ''} are wrong"
    return words + (f": {worst_elements(analytic, entry.numeric, min(count, 3))}" if count else "")


def locate_wrong_part(
    differences: Differences, array: Any, analytic: np.ndarray, derivatives: DirectionalDerivatives
) -> tuple[slice, ...]:
    """Return one slice for each axis: the smallest rectangular part of the array that contains all wrong elements.

    For each axis, find the first and the last index of this part by bisection. To test if the elements in some slices
    are right, take the direction with the largest error, set it to zero outside these slices, and measure the
    derivative along it. The elements count as right only if the gradient from backward agrees with this derivative, and
    if the derivative is exact enough: three times its uncertainty is at most a hundredth of the largest error.
    """
    errors = [abs(float(np.vdot(analytic, v)) - d.value) for v, d in derivatives]
    (v, _), largest = derivatives[int(np.argmax(errors))], max(errors)
    box = [slice(0, length) for length in array.shape]

    def is_wrong(axis: int, indices: slice) -> bool:
        part, at = np.zeros(array.shape), (*box[:axis], indices, *box[axis + 1 :])
        part[at] = v[at]
        d, given = differences.directional_derivative(array, part), float(np.vdot(analytic, part))
        tolerance = 3 * d.uncertainty + d.high - d.low
        return not abs(given - d.value) <= tolerance <= 1e-2 * largest

    for axis, n in enumerate(array.shape):
        first = smallest_true(lambda k, axis=axis: is_wrong(axis, slice(0, k)), n) - 1
        last = n - smallest_true(lambda k, axis=axis, n=n: is_wrong(axis, slice(n - k, n)), n) + 1
        if first < last:  # if first >= last, the error is too small: bisection cannot locate it
            box[axis] = slice(first, last)
    return tuple(box)


def smallest_true(condition: Callable[[int], bool], largest: int) -> int:
    """Return the smallest k from 1 to `largest` for which `condition` is true, by bisection.

    If the condition is true for some k, it must be true for all larger k.
    """
    if condition(1):
        return 1
    low, high = 1, largest
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if condition(middle) else (middle, high)
    return high
