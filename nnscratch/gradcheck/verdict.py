"""The verdict on an entry: right, wrong or cannot tell.

    right          |a - n| <= rtol * max(|a|, |n|) + 3 * the uncertainty of n, for every element
    wrong          the difference is larger
    cannot tell    the difference is small enough, but the uncertainty of n is so large that it may hide an error

Here a is the gradient from backward, and n is the numeric gradient. At a kink, f has no derivative. Then n is the
interval between the two one-sided derivatives, and any a in this interval is right.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .report import Entry


def set_verdict(entry: Entry, rtol: float, itemsize: int, magnitude: float) -> None:
    """Set the verdict, its reason, the error and the worst index of `entry`.

    Parameters
    ----------
    entry : Entry
    rtol : float
        The largest relative difference allowed at each element.
    itemsize : int
        The number of bytes of one value in the least precise float dtype of the computation.
    magnitude : float
        The sum of the absolute values of the terms of f.
    """
    entry.verdict, entry.reason = "right", ""
    known = np.isfinite(entry.numeric)
    if not entry.numeric.size:
        return
    if not known.any():
        entry.verdict, entry.reason, entry.error = "cannot tell", "the function is not finite around this point", np.nan
        return
    a = entry.analytic
    nearest = np.clip(a, entry.low, entry.high)
    difference = np.where(known, np.abs(a - nearest), 0.0)
    ends = np.maximum(np.abs(entry.low), np.abs(entry.high))
    largest = float(max(np.abs(a[known]).max(), ends[known].max()))
    floor = 1e5 * float(np.median(entry.uncertainty[known])) if itemsize == 8 else 0.0
    uncertainty = np.where(known, entry.uncertainty, 0.0)
    exact = uncertainty <= 1e-14 * largest  # True where the complex step has computed the derivative
    smallest = np.where(exact, min(rtol * 1e-3, 1e-13), rtol * 1e-3) * largest
    allowed = rtol * np.maximum(np.abs(a), np.nan_to_num(ends)) + 3 * uncertainty + smallest
    excess = difference - allowed
    worst = np.unravel_index(int(np.argmax(np.where(known, excess, -np.inf))), a.shape)
    entry.worst_index = tuple(int(i) for i in worst)
    entry.error = float(difference.max() / max(largest, min(floor, 1.0), 1e-300)) if largest else 0.0
    if (excess > 0).any():
        entry.verdict = "wrong"
        return
    not_finite = np.isinf(entry.uncertainty)
    if not_finite.any():
        entry.verdict = "cannot tell"
        entry.reason = f"the function is not finite around {int(not_finite.sum())} element(s)"
        return
    limit = (1e-2 if itemsize == 8 else 5e-2) * np.maximum(largest, 1e-3 * floor)
    vague = known & (3 * uncertainty > limit) & (uncertainty > 1e-6 * min(1.0, magnitude))
    if vague.any():
        entry.verdict = "cannot tell"
        entry.reason = (
            f"the finite differences have an uncertainty of {uncertainty.max():.1e} at {int(vague.sum())} element(s): "
            f"the function is not smooth enough here, or too noisy"
        )
        entry.error = float(min(entry.error, 1.0))


def out_of_tolerance(entry: Entry, rtol: float) -> list[tuple]:
    """Return the indices of the elements whose analytic and numeric values differ too much."""
    nearest = np.clip(entry.analytic, entry.low, entry.high)
    allowed = rtol * np.maximum(np.abs(entry.analytic), np.abs(nearest)) + 3 * entry.uncertainty
    return [tuple(int(i) for i in index) for index in np.argwhere(np.abs(entry.analytic - nearest) > allowed)]


def is_comparable(entry: Entry) -> bool:
    """Return True if the gradient from backward is finite and has the shape of the numeric gradient."""
    return (
        entry.analytic is not None
        and entry.analytic.shape == np.shape(entry.low) == np.shape(entry.numeric)
        and bool(np.isfinite(entry.analytic).all())
    )


def unusable_entry(name: str, array: Any, analytic: Any, reason: str) -> Entry:
    """Return an entry with the verdict "wrong", for a gradient whose shape, dtype or values cannot be compared."""
    unknown = np.full(array.shape, np.nan)
    return Entry(
        name,
        array.shape,
        analytic,
        unknown,
        unknown,
        unknown,
        unknown,
        error=float("inf"),
        verdict="wrong",
        reason=reason,
        worst_index=(0,) * len(array.shape),
    )


def worst_elements(given: np.ndarray, true: np.ndarray, count: int = 3) -> str:
    """Return a text that lists the elements with the largest errors, each with its given and its true value."""
    off = np.nan_to_num(np.abs(given - true))
    listed = []
    for i in np.argsort(off, axis=None)[::-1][:count]:
        p = np.unravel_index(int(i), off.shape)
        digits = 4 if f"{given[p]:.4g}" != f"{true[p]:.4g}" else 10
        listed.append(f"[{','.join(map(str, p))}] given {given[p]:.{digits}g}, true {true[p]:.{digits}g}")
    return ", ".join(listed)
