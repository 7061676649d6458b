"""Test whether the gradient is transposed, reshaped, reversed along an axis, or shifted along one or more axes.

For example, a student writes ``dW = (x.T @ dy).T`` for a square W, or ``dx = dpadded[2:, :]`` instead of
``dpadded[1:-1, :]``. To find such a mistake, undo it in backward's gradient, and compare the result with the true
gradient.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from .case import Case

MAX_SHIFT = 2  # the largest shift that is tested; a backward may forget a padding of this width


def reordered_axes(case: Case) -> None:
    """Test whether backward's gradient is the true gradient, transposed, reshaped, reversed or shifted."""
    given, shape = case.given, case.shape
    if len(shape) >= 2:
        words = "given = true with its last two axes exchanged"
        case.test_undone(np.swapaxes(given, -1, -2), 2, "transposed", words)
    reshaped = "reshaped instead of transposed"
    if len(shape) == 2 and shape[0] != shape[1]:
        case.test_undone(given.reshape(shape[::-1]).T, 2.5, reshaped, "given = true.T.reshape(shape)")
        case.test_undone(given.T.reshape(shape), 2.5, reshaped, "given.T = true.reshape(given.T.shape)")
    if len(shape) > 2:
        rows = given.reshape(-1, shape[0]).T
        words = f"given = true.reshape({shape[0]}, -1).T.reshape(shape): backward lacks .T before .reshape"
        case.test_undone(rows.reshape(shape), 2.5, reshaped, words)
    for count in (1, 2):
        for where in combinations(range(len(shape)), count):
            if all(shape[axis] > 1 for axis in where):
                words = f"given = true reversed along {axes_in_words(where)}"
                case.test_undone(np.flip(given, where), 3, "axes reversed", words)
    for axis in range(len(shape)):
        if shape[axis] > 2:
            for step in (1, -1):
                words = f"given = true shifted by {step} along axis {axis}"
                case.test_undone(np.roll(given, -step, axis), 3, "shifted by one", words)
    shifted(case)


def axis_sets(ndim: int) -> list[tuple[int, ...]]:
    """Return all sets of axes of an array with `ndim` axes, for example [(0,), (1,), (0, 1)] for a matrix."""
    return [axes for count in range(1, ndim + 1) for axes in combinations(range(ndim), count)]


def axes_in_words(axes: tuple[int, ...]) -> str:
    """Return axes as a text for the report, for example "axis 0" or "axes 0 and 1"."""
    return f"{'axis' if len(axes) == 1 else 'axes'} {' and '.join(map(str, axes))}"


def shifted(case: Case) -> None:
    """Test whether the gradient is shifted along one, two or three axes, by the same step along each axis.

    For example, forward pads an image, and backward cuts off the padding at one side only. A shift leaves the elements
    at one end of each axis without a value, so these elements are not compared.
    """
    for count in (1, 2, 3):
        for step in (s for size in range(1, MAX_SHIFT + 1) for s in (size, -size)):
            long = [axis for axis, n in enumerate(case.shape) if n > 1 + abs(step)]
            for axes in combinations(long, count):
                inside = [slice(None)] * len(case.shape)
                for axis in axes:
                    inside[axis] = slice(step, None) if step > 0 else slice(None, step)
                part = case.given[tuple(inside)]
                # A part that is very small, or contains only zeros, may fit a shift by chance.
                if part.size < 4 or not np.abs(part).max() > 1e-3 * case.scale:
                    continue
                if not case.is_shifted(axes, step, tuple(inside)):
                    continue
                outside = np.ones(case.shape, dtype=bool)
                outside[tuple(inside)] = False
                end = "except" if np.any(case.given[outside]) else "with zeros"
                words = f"given = true shifted by {step} along {axes_in_words(axes)}, {end} at one end"
                words += "" if count == 1 else " of each axis"
                case.add(3 if end == "with zeros" else 3.05, "shifted by one", words)
