"""What looks wrong and need not be: several kinks at one point, and noise.

A single kink is seen in the differences themselves (see numerical.py). Here are those that meet: in several outputs,
or in several hidden units.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import backend
from .differences import Differences
from .numerical import one_sided
from .report import Entry
from .verdict import shape_fits, suspicious


def doubt(differences: Differences, entry: Entry, array: Any) -> None:
    """Elements that look wrong are measured again with other steps: in a noisy function the two disagree."""
    for place in suspicious(entry, differences.tolerance())[:200]:
        if entry.low[place] == entry.high[place]:
            again = differences.derivative(array, place, 0.0, stretch=0.37)
            apart = abs(again.value - float(entry.numeric[place]))
            if apart > 3 * float(entry.uncertainty[place]):
                entry.uncertainty[place] = apart


def output_by_output(differences: Differences, entry: Entry, array: Any) -> None:
    """Where several outputs have a kink at once, each may choose its own slope.

    Overlapping windows of a max pooling with ties: moving x up makes it the maximum in all of them, moving it down
    in none, but backward gives it those windows in which it comes first. So the interval is
    sum over outputs k of R_k [low_k, high_k], which holds more than [D-, D+] where R has both signs.
    """
    R = differences.objective.flat_weights()
    if R.size < 2 or differences.itemsize < 8:
        return
    y0 = differences.objective.values()
    for place in suspicious(entry, differences.tolerance())[:200]:
        value, found = float(array[place]), []
        if entry.low[place] == entry.high[place]:
            continue
        for h in (2e-5, 4e-6):
            h = h * max(1.0, abs(value))
            ys = []
            for k in (1, 2, -1, -2):
                array[place] = value + k * h
                ys.append(differences.objective.values())
                differences.evaluations += 1
            array[place] = value
            plus, minus = (one_sided(y0, a, b, s, 2 * s) for (a, b), s in ((ys[:2], h), (ys[2:], -h)))
            noise = 20 * 2.2e-16 * np.max(np.abs(ys), axis=0) / h
            found.append((plus, minus, np.abs(plus - minus) > noise + 1e-6 * np.abs(plus)))
        (p, m, kinked), (p2, m2, kinked2) = found
        kinked &= kinked2 & (np.abs((p - m) - (p2 - m2)) <= 0.01 * np.abs(p - m))
        middle = (p2 + m2) / 2
        plus, minus = R * np.where(kinked, p2, middle), R * np.where(kinked, m2, middle)
        if kinked.sum() > 1:
            entry.low[place] = min(entry.low[place], np.minimum(plus, minus).sum())
            entry.high[place] = max(entry.high[place], np.maximum(plus, minus).sum())


def second_look(
    differences: Differences, wrong: list[Entry], analytic: dict[str, Any], rng: np.random.Generator
) -> None:
    """Elements that look wrong because several kinks meet there are compared at eight points close by.

    relu(w x) at x = 0 in a hidden layer moves several units off their kinks at once, some up, some down; the
    gradient that every framework gives, with relu'(0) = 0, then need not lie between the one-sided derivatives.
    It is accepted only if (a) at points nearby, where nothing sits on a kink, backward agrees with differences,
    (b) the gradient jumps from one of these points to the next, so there is a kink, and (c) the value in question
    lies among those values, or, where they are more than the two of a single kink, no further out than they are
    apart: eight points need not have met every combination.
    """
    variables = differences.objective.variables
    held = {name: v.copy() for name, v in variables.items()}
    suspects = {e.name: suspicious(e, differences.tolerance()) for e in wrong if shape_fits(e)}
    if not suspects or max(map(len, suspects.values())) > 200:
        return
    nearby: dict[str, list[list[float]]] = {name: [] for name in suspects}
    agree = {name: np.ones(len(places), dtype=bool) for name, places in suspects.items()}
    centre, size = differences.centre, differences.size
    try:
        for _ in range(8):
            for name, v in variables.items():
                noise = rng.uniform(-1e-3, 1e-3, v.shape)
                v[...] = held[name] + backend.array_module(v).asarray(noise, dtype=v.dtype)
            differences.centre = differences.objective()
            said = differences.objective.analytic()
            for name, places in suspects.items():
                values = []
                for k, place in enumerate(places):
                    d = differences.derivative(variables[name], place, 0.0)
                    a = float(said[name][place]) if said[name] is not None else 0.0
                    agree[name][k] &= abs(a - d.value) <= 1e-5 * max(abs(a), abs(d.value)) + 10 * d.uncertainty
                    values.append(d.value)
                nearby[name].append(values)
            if not any(ok.any() for ok in agree.values()):
                return
    finally:
        differences.centre, differences.size = centre, size
        for name, v in variables.items():
            v[...] = held[name]
    for entry in wrong:
        if entry.name not in suspects:
            continue
        values = np.array(nearby[entry.name])  # (8, places)
        for k, place in enumerate(suspects[entry.name]):
            low, high = values[:, k].min(), values[:, k].max()
            width = high - low
            a = float(analytic[entry.name][place])
            jumps = width > 0.02 * max(abs(low), abs(high), 1e-12)
            levels = 1 + int((np.diff(np.sort(values[:, k])) > 0.02 * width).sum())
            slack = width if levels > 2 else 0.01 * width
            if agree[entry.name][k] and jumps and low - slack <= a <= high + slack:
                entry.low[place], entry.high[place] = min(low, a), max(high, a)
        entry.verdict, entry.reason = "right", ""
        entry.kinks = int((np.nan_to_num(entry.high) > np.nan_to_num(entry.low)).sum())
        differences.judge(entry)
