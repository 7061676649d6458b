"""Test again the elements whose gradient looks wrong: the reason may be noise, or several kinks at the same point.

A kink is a point at which a function has two different one-sided derivatives, and therefore no derivative. An example
is the point 0 of ReLU. `estimate` in numerical.py recognises a single kink. Most functions in this file are for points
at which several outputs, or several hidden units, have a kink.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .differences import Differences
from .kink_units import KinkUnits
from .nested import array_module
from .numerical import one_sided, random_direction, typical_size
from .report import Entry
from .verdict import is_comparable, out_of_tolerance
from .zero_units import SlopesAtZero, slopes_at_zero

MAX_SUSPECTS = 200  # in one array, examine at most this number of elements
MAX_CONFIRMED = 20  # measure at most this number of elements at nearby points
LARGEST = "largest"


def remeasure(differences: Differences, entry: Entry, array: Any) -> None:
    """For each element whose gradient looks wrong, measure the derivative again, with other steps.

    If f is noisy, the two results differ, and their difference becomes the uncertainty in `entry`.
    """
    for index in out_of_tolerance(entry, differences.tolerance())[:MAX_SUSPECTS]:
        if entry.low[index] == entry.high[index]:
            again = differences.element_derivative(array, index, 0.0, step_factor=0.37)
            apart = abs(again.value - float(entry.numeric[index]))
            if apart > 3 * max(float(entry.uncertainty[index]), again.uncertainty):
                entry.uncertainty[index] = apart


def allow_kinks_per_output(differences: Differences, entry: Entry, array: Any) -> None:
    """Widen the accepted interval at elements where several outputs have a kink.

    An example is max pooling with overlapping windows. Suppose that an element x is the maximum of several windows, and
    that each of these windows contains another element equal to x. If x grows, it becomes the only maximum of each
    window. If x shrinks, it is the maximum of no window. Backward may choose one of the two elements in each window
    separately, so it may use a different slope for each output.

    Let R_k be the weight of output k in f, the weighted sum of the outputs, and let [low_k, high_k] be the interval
    between the one-sided derivatives of output k. Then the accepted interval is the sum of R_k [low_k, high_k] over all
    outputs k. If some R_k are negative, this interval may be wider than the interval between the one-sided derivatives
    of f.
    """
    R = differences.projection.flat_weights()
    if R.size < 2 or differences.itemsize < 8:
        return
    y0 = differences.projection.flat_outputs()
    for index in out_of_tolerance(entry, differences.tolerance())[:MAX_SUSPECTS]:
        value, found = float(array[index]), []
        if entry.low[index] == entry.high[index]:
            continue
        for h in (2e-5, 4e-6):
            h = h * max(1.0, abs(value))
            ys = []
            for k in (1, 2, -1, -2):
                array[index] = value + k * h
                ys.append(differences.projection.flat_outputs())
                differences.evaluations += 1
            array[index] = value
            plus, minus = (one_sided(y0, a, b, s, 2 * s) for (a, b), s in ((ys[:2], h), (ys[2:], -h)))
            noise = 20 * 2.2e-16 * np.max(np.abs(ys), axis=0) / h
            found.append((plus, minus, np.abs(plus - minus) > noise + 1e-6 * np.abs(plus)))
        (p, m, kinked), (p2, m2, kinked2) = found
        kinked &= kinked2 & (np.abs((p - m) - (p2 - m2)) <= 0.01 * np.abs(p - m))
        middle = (p2 + m2) / 2
        plus, minus = R * np.where(kinked, p2, middle), R * np.where(kinked, m2, middle)
        if kinked.sum() > 1:
            entry.low[index] = min(entry.low[index], np.minimum(plus, minus).sum())
            entry.high[index] = max(entry.high[index], np.maximum(plus, minus).sum())


def settle_kinks(
    differences: Differences, entries: list[Entry], gradients: dict[str, np.ndarray], rng: np.random.Generator
) -> None:
    """Decide the verdict on arrays with kinks, if the one-sided derivatives of single elements are not enough.

    An example is a hidden layer relu(x w) at x = 0. Each output of this layer is called a unit. A change of x moves
    several units off their kinks, some up and some down. PyTorch and other frameworks use the slope 0 for all these
    units. The resulting gradient is right, but it can lie outside the interval between the one-sided derivatives of f.
    Moreover, a wrong slope such as -0.5 can give a gradient inside this interval. So the test has these steps:

    1. At nearby points, where no unit lies on a kink, compare backward with finite differences (`confirmed_nearby`).
       If they disagree, the verdict stays unchanged.
    2. A sum inside forward may be exactly zero, as x w is in the example. Change each of these sums separately
       (zero_units.py).
    3. If step 2 does not decide, compare the gradients from backward at nearby points. They show how much the gradient
       jumps at the kink of each unit (kink_units.py).
    4. If kinks depend on each other, step 3 fails. Then find, for each element, the smallest and the largest gradient
       at nearby points. These points do not show every combination of slopes. So make the range between the two values
       wider, at most three times as wide, and accept an element inside the wider range. If another element looks wrong,
       the verdict is "cannot tell".

    Parameters
    ----------
    differences : Differences
    entries : list of Entry
        Their verdicts are updated.
    gradients : dict of str to ndarray
        The complete gradient that backward returned for each array.
    rng : numpy.random.Generator
    """
    if not any(entry.kinks for entry in entries):
        return
    candidates, suspects, at_kinks = [], {}, {}
    for entry in entries:
        name, gradient = entry.name, gradients[entry.name]
        by_elements = is_comparable(entry) and not entry.along_directions
        suspects[name] = out_of_tolerance(entry, differences.tolerance()) if by_elements else []
        kinked = [tuple(int(i) for i in index) for index in np.argwhere(entry.high > entry.low)] if by_elements else []
        at_kinks[name] = list(dict.fromkeys([*suspects[name], *kinked]))
        usable = gradient.shape == entry.shape and bool(np.isfinite(gradient).all())
        if entry.verdict == "cannot tell" and not entry.kinks:
            usable = False
        elif entry.verdict != "right":
            usable = usable and confirmed_nearby(differences, name, suspects[name] or None, rng)
        if usable:
            candidates.append(entry)
    if not any(entry.kinks for entry in candidates):
        return
    own = {entry.name: gradients[entry.name] for entry in candidates}
    slopes = slopes_at_zero(differences.projection, list(own), rng)
    if slopes is not None and (slopes.wrong or all(slopes.moving[n][i] for n in own for i in suspects[n])):
        for entry in candidates:
            apply_slopes(entry, suspects[entry.name], slopes)
        return
    units = KinkUnits(differences.projection, own, at_kinks, rng, max(600, differences.evaluations // 10))
    for entry in candidates:
        if units.resolved:
            apply_units(differences, entry, gradients[entry.name], units)
        elif suspects[entry.name]:
            apply_range(differences, entry, suspects[entry.name], units.nearby[entry.name])


def confirmed_nearby(
    differences: Differences, name: str, suspects: list[tuple] | None, rng: np.random.Generator
) -> bool:
    """Return True if backward agrees with finite differences at nearby points, where no unit lies on a kink.

    `suspects` are the elements that look wrong. At each point, compare the derivatives with respect to one of these
    elements. Near the kink, all these derivatives may be zero. So at a few additional points, compare the derivatives
    with respect to the element with the largest gradient. If `suspects` is None, compare derivatives along random
    directions. If backward and the finite difference disagree, try a second, smaller step, because a nearby point may
    lie close to another kink.
    """
    variables = differences.projection.variables
    held, array = {n: v.copy() for n, v in variables.items()}, variables[name]
    centre, typical = differences.centre, typical_size(array)

    def agrees(index: tuple | str | None) -> bool:
        for n, v in variables.items():
            noise = 1e-3 * min(1.0, typical_size(held[n])) * rng.uniform(-1, 1, v.shape)
            v[...] = held[n] + array_module(v).asarray(noise)
        differences.centre = differences.projection()
        (given,) = differences.projection.gradients_of([name])
        if index == LARGEST:
            index = tuple(int(i) for i in np.unravel_index(np.abs(given).argmax(), array.shape))
        direction = random_direction(array.shape, rng) if index is None else None
        a = float(given[index]) if direction is None else float(np.vdot(given, direction))
        for factor in (0.02, 0.0005):
            if direction is None:
                d = differences.element_derivative(array, index, 0.0, typical, factor)
            else:
                d = differences.directional_derivative(array, direction, factor)
            if abs(a - d.value) <= 1e-5 * max(abs(a), abs(d.value)) + 10 * d.uncertainty:
                return True
        return False

    if suspects is not None and len(suspects) > MAX_CONFIRMED:
        suspects = [suspects[int(i)] for i in rng.choice(len(suspects), MAX_CONFIRMED, replace=False)]
    try:
        tries = [None, None] if suspects is None else suspects * max(1, 12 // len(suspects)) + [LARGEST] * 4
        return all(agrees(index) for index in tries)
    finally:
        differences.centre = centre
        for n, v in variables.items():
            v[...] = held[n]


def apply_slopes(entry: Entry, suspects: list[tuple], slopes: SlopesAtZero) -> None:
    """Set the verdict of `entry`. `slopes` contains the slopes that backward uses at units that are exactly zero."""
    worst = next((wrong for wrong in slopes.wrong if wrong.name == entry.name), None)
    if worst is not None:
        entry.verdict, entry.reason = "wrong", outside_of_slopes(worst.index, worst.given, worst.allowed)
    elif not slopes.wrong:
        for index in suspects:
            entry.low[index] = min(entry.low[index], entry.analytic[index])
            entry.high[index] = max(entry.high[index], entry.analytic[index])
        entry.verdict, entry.reason = "right", ""


def outside_of_slopes(index: tuple, given: float, allowed: float) -> str:
    """Return the text that explains why a gradient at a kink is wrong."""
    return (
        f"at a kink, such as a ReLU at zero, the slope of each unit must lie between its two one-sided slopes: at "
        f"[{','.join(map(str, index))}] the gradient is {given:.4g}, and the nearest allowed value is {allowed:.4g}"
    )


def apply_units(differences: Differences, entry: Entry, gradient: np.ndarray, units: KinkUnits) -> None:
    """Compare the gradient of `entry` with the gradients that the kinks allow, and set its verdict.

    The jumps of the gradient at the kinks of all units must be known (`KinkUnits.resolved`).
    """
    wrong, allowed = units.wrong[entry.name], units.allowed[entry.name]
    if not entry.along_directions:
        for index in out_of_tolerance(entry, differences.tolerance()):
            entry.low[index] = min(entry.low[index], allowed[index])
            entry.high[index] = max(entry.high[index], allowed[index])
        for index in wrong:
            entry.numeric[index] = entry.low[index] = entry.high[index] = allowed[index]
            entry.uncertainty[index] = 0.0
        entry.kinks = int((np.nan_to_num(entry.high) > np.nan_to_num(entry.low)).sum()) + len(wrong)
        differences.judge(entry)
    if wrong:
        worst = max(wrong, key=lambda index: abs(gradient[index] - allowed[index]))
        entry.verdict = "wrong"
        entry.reason = outside_of_slopes(worst, gradient[worst], allowed[worst])


def apply_range(differences: Differences, entry: Entry, suspects: list[tuple], nearby: np.ndarray) -> None:
    """Accept each element of `suspects` that lies in or near the range of the gradients at nearby points.

    The element is accepted only if its gradient jumps between these points, as it does at a kink. If other elements
    remain wrong, set the verdict "cannot tell".
    """
    for index in suspects:
        values, a = nearby[(slice(None), *index)], float(entry.analytic[index])
        low, high = values.min(), values.max()
        width = high - low
        jumps = width > 0.02 * max(abs(low), abs(high), 1e-12)
        levels = 1 + int((np.diff(np.sort(values)) > 0.02 * width).sum())
        slack = width if levels > 2 else 0.01 * width
        if jumps and low - slack <= a <= high + slack:
            entry.low[index], entry.high[index] = min(low, a), max(high, a)
    entry.kinks = int((np.nan_to_num(entry.high) > np.nan_to_num(entry.low)).sum())
    if differences.judge(entry).verdict == "wrong":
        entry.verdict = "cannot tell"
        entry.reason = (
            f"{len(suspects)} element(s) lie on kinks that depend on each other, so the allowed slopes are not known"
        )
