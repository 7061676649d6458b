"""The verdict on an entry: right, wrong or cannot tell.

right         |a - n| <= rtol * max(|a|, |n|) + what differences cannot tell
wrong         otherwise
cannot tell   right, but only because differences can tell so little there

Where there is a kink, n is the interval between the one-sided derivatives.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .report import Entry


def judge(entry: Entry, rtol: float, itemsize: int, size: float) -> None:
    """Give `entry` its verdict, error and worst index; `size` is that of all that f adds up."""
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
    top = float(max(np.abs(a[known]).max(), ends[known].max()))
    floor = 1e5 * float(np.median(entry.uncertainty[known])) if itemsize == 8 else 0.0
    doubt = np.where(known, entry.uncertainty, 0.0)
    allowed = rtol * np.maximum(np.abs(a), np.nan_to_num(ends)) + 3 * doubt + rtol * 1e-3 * top
    excess = difference - allowed
    worst = np.unravel_index(int(np.argmax(np.where(known, excess, -np.inf))), a.shape)
    entry.worst_index = tuple(int(i) for i in worst)
    entry.error = float(difference.max() / max(top, min(floor, 1.0), 1e-300)) if top else 0.0
    if (excess > 0).any():
        entry.verdict = "wrong"
        return
    lost = np.isinf(entry.uncertainty)
    if lost.any():
        entry.verdict = "cannot tell"
        entry.reason = f"the function is not finite around {int(lost.sum())} element(s)"
        return
    enough = 1e-2 if itemsize == 8 else 5e-2
    vague = known & (3 * doubt > enough * np.maximum(top, 1e-3 * floor)) & (doubt > 1e-6 * min(1.0, size))
    if vague.any():
        entry.verdict = "cannot tell"
        entry.reason = (
            f"differences are uncertain by {doubt.max():.1e} at {int(vague.sum())} element(s): the function is too "
            f"rough or too noisy here"
        )
        entry.error = float(min(entry.error, 1.0))


def suspicious(entry: Entry, rtol: float) -> list[tuple]:
    """The places of `entry` where analytic and numeric differ too much."""
    nearest = np.clip(entry.analytic, entry.low, entry.high)
    allowed = rtol * np.maximum(np.abs(entry.analytic), np.abs(nearest)) + 3 * entry.uncertainty
    return [tuple(int(i) for i in p) for p in np.argwhere(np.abs(entry.analytic - nearest) > allowed)]


def shape_fits(entry: Entry) -> bool:
    return (
        entry.analytic is not None
        and entry.analytic.shape == np.shape(entry.low) == np.shape(entry.numeric)
        and bool(np.isfinite(entry.analytic).all())
    )


def unfit(name: str, array: Any, analytic: Any, reason: str) -> Entry:
    nothing = np.full(array.shape, np.nan)
    return Entry(
        name,
        array.shape,
        analytic,
        nothing,
        nothing,
        nothing,
        nothing,
        error=float("inf"),
        verdict="wrong",
        reason=reason,
        worst_index=(0,) * len(array.shape),
    )
