"""Noise: detect noise in the number f that the check differentiates, and compute derivatives of a noisy f.

A loss does not change smoothly if the code rounds it, computes in float32, or subtracts nearly equal numbers. The small
jumps of such a loss are called noise. With a small step, finite differences have an error of about noise / step. With a
large step, they have a truncation error, because f is curved. `steady_derivative` tries nineteen steps, and uses the
three neighbouring steps whose results agree best. The uncertainty is at least the difference between these results.

Reference: Moré and Wild, Estimating computational noise, 2011, for the difference table in `relative_noise`.
"""

from __future__ import annotations

from collections.abc import Callable
from math import factorial
from typing import Any

import numpy as np

from .differences import Differences
from .nested import array_module
from .numerical import RELATIVE_STEPS, Derivative, derivative_with_larger_steps, typical_size
from .report import Entry
from .verdict import out_of_tolerance

STEPS = 10.0 ** np.arange(-1, -10.5, -0.5)
STEADY = 1e-2  # the results of three steps count as steady if they differ by at most 1 %
UNKNOWN = 0.3  # if even the three results that agree best differ by more than 30 %, the derivative is unknown
SPACINGS = (1e-6, 1e-4)  # distances between the points in `is_noisy`, relative to an array's typical value
MAX_ELEMENTS = 40  # in each array, measure at most this number of elements a second time


def is_noisy(differences: Differences, rng: np.random.Generator) -> bool:
    """Return True if the noise in f exceeds float64's rounding errors, or if f is constant over a small distance.

    Compute f at eight points on a line, and take differences of neighbouring values five times. For a smooth function,
    these fifth differences are almost zero. So only the noise remains.
    """
    for spacing in SPACINGS:
        values = values_on_a_line(differences, spacing, rng)
        if np.isfinite(values).all() and (relative_noise(values, differences) > 50 or len(set(values)) == 1):
            return True
    return False


def has_noise_of_float32(differences: Differences, rng: np.random.Generator) -> bool:
    """Return True if the noise in f is about as large as the rounding errors of float32, for both `SPACINGS`."""
    for spacing in SPACINGS:
        values = values_on_a_line(differences, spacing, rng)
        if not np.isfinite(values).all() or not 1e4 < relative_noise(values, differences) < 1e11:
            return False
    return True


def relative_noise(values: list[float], differences: Differences) -> float:
    """Return the noise in `values`, divided by the rounding error of float64.

    `values` are eight values of f at equally spaced points.
    """
    usual = 2.2e-16 * max(differences.magnitude, differences.largest_value, abs(differences.centre))
    noise = float(np.sqrt(np.mean(np.diff(values, 5) ** 2) * factorial(5) ** 2 / factorial(10)))
    return noise / max(usual, 1e-300)


def values_on_a_line(differences: Differences, spacing: float, rng: np.random.Generator) -> list[float]:
    """Return f at eight points on a random line, along which all differentiated arrays change.

    `spacing` is the distance between two points, divided by an array's typical value.
    """
    variables = differences.projection.variables
    held = {name: v.copy() for name, v in variables.items()}
    spacing *= min(1.0, 10 / np.sqrt(sum(v.size for v in held.values())))
    lines, values = {}, []
    for name, v in held.items():
        lines[name] = spacing * typical_size(v) * rng.uniform(0.5, 1, v.shape) * rng.choice([-1.0, 1.0], v.shape)
    try:
        for k in range(8):
            for name, v in variables.items():
                v[...] = held[name] + array_module(v).asarray(k * lines[name], dtype=v.dtype)
            values.append(differences.f())
    finally:
        for name, v in variables.items():
            v[...] = held[name]
    return values


def steady_derivative(evaluate_at: Callable[[float], tuple[float, float]], unit: float) -> Derivative:
    """Return the derivative at 0 of a noisy function, with an uncertainty that covers the noise.

    Parameters
    ----------
    evaluate_at : callable
        ``evaluate_at(h)`` returns the value of the function at h, and h after rounding.
    unit : float
        A factor for all steps. The largest step is a tenth of `unit`.
    """
    steps, found, changes, values, evaluations = [], [], [], set(), 0
    for h in STEPS * unit:
        (p1, s1), (m1, t1), (p2, s2), (m2, t2) = (evaluate_at(k * h) for k in (1, -1, 2, -2))
        if 0 in (s1 - t1, s2 - t2) or not np.isfinite([p1, m1, p2, m2]).all():
            continue
        values.update((p1, m1, p2, m2))
        evaluations += 4
        if p1 != m1:  # if the two values are equal, the step is too small to change f
            near, far = (p1 - m1) / (s1 - t1), (p2 - m2) / (s2 - t2)
            steps.append(h)
            changes.append(abs(p1 - m1))
            found.append((4 * near - far) / 3)
    if len(values) == 1:
        return Derivative(0.0, 0.0, 0.0, 0.0)
    if len(found) < 3:
        return Derivative(float("nan"), float("inf"), float("nan"), float("nan"))
    triples = np.array([found[i : i + 3] for i in range(len(found) - 2)])
    # If the code rounds f, some of the values are equal. Then the smallest difference between two different values is
    # the unit to which f is rounded.
    resolution = float(np.diff(sorted(values)).min()) if len(values) < evaluations else 0.0
    uncertainty = np.ptp(triples, axis=1) + resolution / np.array(steps[1:-1])
    relative = uncertainty / np.maximum(np.abs(triples).max(axis=1), 1e-300)
    steady = relative < STEADY
    best = int(np.argmin(relative))
    # The derivative is unknown if the best results differ too much. It is also unknown if f jumps, so that even the
    # smallest steps change f by more than a tenth of the largest change.
    if relative[best] > UNKNOWN or np.median(changes[-3:]) > 0.1 * (max(values) - min(values)):
        uncertainty[best] = np.inf
    others = np.abs(triples[steady, 1] - triples[best, 1]) - uncertainty[steady]
    value = float(triples[best, 1])
    return Derivative(value, float(max([uncertainty[best], *others])), value, value)


def measure_through_noise(differences: Differences, entry: Entry, array: Any) -> None:
    """For each element that looks wrong, measure the derivative again with `steady_derivative`. Then set the verdict.

    Call this function only if f is noisy.
    """
    suspects = [i for i in out_of_tolerance(entry, differences.tolerance()) if entry.low[i] == entry.high[i]]
    suspects.sort(key=lambda i: -abs(float(entry.analytic[i] - entry.numeric[i])))
    measured = suspects[:MAX_ELEMENTS]
    for number, index in enumerate(measured):
        d = steady_derivative(differences.element_mover(array, index), max(1.0, abs(float(array[index]))))
        if np.isfinite(d.value):
            entry.numeric[index] = entry.low[index] = entry.high[index] = d.value
        entry.uncertainty[index] = d.uncertainty
        if number == 4 and set(measured[:5]) <= set(out_of_tolerance(entry, differences.tolerance())):
            for part in (entry.numeric, entry.uncertainty, entry.low, entry.high):
                for other in suspects[5:]:
                    part[other] = np.nan  # drop the first measurement, because it was too noisy
            break  # the first five elements are all wrong, so the other elements need no second measurement
    if differences.judge(entry).verdict == "wrong":
        left = set(out_of_tolerance(entry, differences.tolerance()))
        if not left & set(measured) and len(suspects) > len(measured):
            entry.verdict = "cannot tell"  # the elements that still look wrong were not measured again
    if entry.verdict == "cannot tell" and measured:
        entry.reason = noise_reason(max(float(entry.uncertainty[i]) for i in measured))


def measure_with_larger_steps(differences: Differences, entry: Entry, movers: dict[tuple, Callable]) -> None:
    """Measure each derivative in `entry` again with larger steps, and set the verdict.

    Call this function if the checked code computes in float32, and the verdict is "cannot tell". Larger steps make the
    uncertainty from round-off smaller.

    Parameters
    ----------
    differences : Differences
    entry : Entry
    movers : dict of tuple to callable
        For each index in `entry`, the function that `Differences.element_mover` or `direction_mover` returns.
    """
    round_off = 4 * 1.2e-7 * differences.magnitude / RELATIVE_STEPS[4][-1]
    for index, move in movers.items():
        held = entry.uncertainty[index]
        if entry.low[index] != entry.high[index] or not held <= 4 * round_off:
            continue  # larger steps do not help at a kink, or if the noise is larger than the round-off of float32
        d = derivative_with_larger_steps(move, differences.centre, differences.magnitude)
        if d.uncertainty < held and abs(d.value - entry.numeric[index]) <= 3 * held:
            entry.numeric[index] = entry.low[index] = entry.high[index] = d.value
            entry.uncertainty[index] = d.uncertainty
    differences.judge(entry)


def noise_reason(scatter: float) -> str:
    """Return the text that explains the verdict "cannot tell" for a noisy f.

    `scatter` is the uncertainty of a derivative: the difference between the results of different steps.
    """
    if not np.isfinite(scatter):
        return (
            "f changes as much over the smallest steps as over large ones, so its derivative cannot be measured. Does "
            "forward multiply its inputs by a large number, as sin(1e10 x) does? Use smaller inputs"
        )
    return (
        f"f is noisy: its derivatives vary by {scatter:.1e} from step to step, which is too much for a verdict. "
        f"Does forward round values, compute in float32, or subtract nearly equal numbers?"
    )
