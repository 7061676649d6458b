"""Elements that look wrong although backward may be right: several kinks at one point, and noise.

The differences themselves recognise a single kink (numerical.py). This file treats kinks that lie at one point, in
several outputs or in several hidden units.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import backend
from .differences import Differences
from .numerical import one_sided
from .report import Entry
from .verdict import is_comparable, out_of_tolerance

MAX_SUSPECTS = 200  # examined in one array


def remeasure(differences: Differences, entry: Entry, array: Any) -> None:
    """Measure the elements that look wrong again, with other steps. In a noisy function the two results disagree.

    A disagreement raises the uncertainty in `entry`.
    """
    for index in out_of_tolerance(entry, differences.tolerance())[:MAX_SUSPECTS]:
        if entry.low[index] == entry.high[index]:
            again = differences.element_derivative(array, index, 0.0, step_factor=0.37)
            apart = abs(again.value - float(entry.numeric[index]))
            if apart > 3 * float(entry.uncertainty[index]):
                entry.uncertainty[index] = apart


def allow_kinks_per_output(differences: Differences, entry: Entry, array: Any) -> None:
    """Widen the accepted interval at elements where several outputs have a kink: each may choose its own slope.

    An example is a max pooling with overlapping windows and ties. If x grows, it becomes the maximum of all its
    windows; if x shrinks, it is the maximum of none. Backward may pass to x the gradients of only those windows in
    which it comes first. The accepted interval is therefore the sum over the outputs k of R_k [low_k, high_k]. It is
    wider than [D-, D+] if R has both signs.
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


def compare_nearby(
    differences: Differences, wrong: list[Entry], analytic: dict[str, Any], rng: np.random.Generator
) -> None:
    """Compare the elements that look wrong at eight points close by, in case several kinks lie at this one.

    An example is relu(w x) at x = 0 in a hidden layer. A change of w moves several units off their kinks, some up and
    some down. Every framework uses relu'(0) = 0, and the resulting gradient need not lie between the one-sided ones.
    The gradient of an element is accepted if

    (a) backward agrees with the differences at the eight points, where nothing lies on a kink,
    (b) the derivative jumps between these points, so that there is a kink, and
    (c) the gradient lies among the derivatives there. If they have more than the two levels of a single kink, it may
        lie outside them by up to their range, because eight points need not meet every combination of slopes.

    The verdicts in `wrong` are set again.
    """
    variables = differences.projection.variables
    held = {name: v.copy() for name, v in variables.items()}
    suspects = {e.name: out_of_tolerance(e, differences.tolerance()) for e in wrong if is_comparable(e)}
    if not suspects or max(map(len, suspects.values())) > MAX_SUSPECTS:
        return
    nearby: dict[str, list[list[float]]] = {name: [] for name in suspects}
    agree = {name: np.ones(len(indices), dtype=bool) for name, indices in suspects.items()}
    centre, magnitude = differences.centre, differences.magnitude
    try:
        for _ in range(8):
            for name, v in variables.items():
                noise = rng.uniform(-1e-3, 1e-3, v.shape)
                v[...] = held[name] + backend.array_module(v).asarray(noise, dtype=v.dtype)
            differences.centre = differences.projection()
            analytic_nearby = differences.projection.analytic()
            for name, indices in suspects.items():
                values = []
                for k, index in enumerate(indices):
                    d = differences.element_derivative(variables[name], index, 0.0)
                    a = float(analytic_nearby[name][index]) if analytic_nearby[name] is not None else 0.0
                    agree[name][k] &= abs(a - d.value) <= 1e-5 * max(abs(a), abs(d.value)) + 10 * d.uncertainty
                    values.append(d.value)
                nearby[name].append(values)
            if not any(ok.any() for ok in agree.values()):
                return
    finally:
        differences.centre, differences.magnitude = centre, magnitude
        for name, v in variables.items():
            v[...] = held[name]
    for entry in wrong:
        if entry.name not in suspects:
            continue
        values = np.array(nearby[entry.name])  # (8, elements)
        for k, index in enumerate(suspects[entry.name]):
            low, high = values[:, k].min(), values[:, k].max()
            width = high - low
            a = float(analytic[entry.name][index])
            jumps = width > 0.02 * max(abs(low), abs(high), 1e-12)
            levels = 1 + int((np.diff(np.sort(values[:, k])) > 0.02 * width).sum())
            slack = width if levels > 2 else 0.01 * width
            if agree[entry.name][k] and jumps and low - slack <= a <= high + slack:
                entry.low[index], entry.high[index] = min(low, a), max(high, a)
        entry.verdict, entry.reason = "right", ""
        entry.kinks = int((np.nan_to_num(entry.high) > np.nan_to_num(entry.low)).sum())
        differences.judge(entry)
