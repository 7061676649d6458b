"""Arrays that are zero everywhere: replace them by random numbers, so that the check can compare more gradients.

If all weights of a network are zero, the true gradients of most weights are zero too. Then a backward that computes
nothing seems right. Therefore, if an array and a gradient are zero everywhere, the check runs again with random numbers
instead of the zeros.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .adapters import Adapter
from .nested import array_module, is_writeable
from .report import GradientReport
from .snapshot import Snapshot


def check_without_zeros(
    report: GradientReport,
    adapter: Adapter,
    start: Snapshot,
    notes: list[str],
    check: Callable[[Snapshot], GradientReport],
) -> GradientReport:
    """Run the check again with random numbers in place of zeros, if one of the compared gradients is zero everywhere.

    Parameters
    ----------
    report : GradientReport
        The result of the first check.
    adapter : Adapter
    start : Snapshot
        The state in which the first check started. This function restores it.
    notes : list of str
        The notes of the adapter before the first check.
    check : callable
        ``check(snapshot)`` runs the check in the state that `snapshot` recorded, and returns the report.

    Returns
    -------
    GradientReport
        The second report if its verdict is "wrong" or "incomplete", else `report`. A note in `report` says that the
        second check was right, or that it raised an error.
    """
    without_effect = [entry.name for entry in report if not np.any(entry.analytic)]
    if not report.ok or not without_effect:
        return report
    start.restore()
    arrays = {**adapter.parameters(), **adapter.float_inputs()}
    zero = {
        n: a for n, a in arrays.items() if n in report.entries and a.size and is_writeable(a) and not (a != 0).any()
    }
    if not zero:
        return report
    report.notes = list(report.notes)
    adapter.notes[:] = notes
    said = f"{', '.join(zero)}: zero everywhere, so the gradient of {', '.join(without_effect)} is zero"
    rng = np.random.default_rng(0)
    try:
        for a in zero.values():
            a[...] = array_module(a).asarray(rng.uniform(0.2, 0.8, a.shape))
        second = check(Snapshot(adapter.source, adapter.inputs, adapter.targets))
    except Exception as error:  # for example, the code does not accept other numbers here
        failed = f"the check with random numbers in place of the zeros failed ({type(error).__name__}: {error})"
        report.notes.append(f"{said}; {failed}")
        return report
    finally:
        for a in zero.values():
            a[...] = 0
        start.restore()
    if second.verdict in ("wrong", "incomplete"):
        second.notes.append(f"{said}; this report is for random numbers in place of the zeros")
        return second
    if second.ok:
        report.notes.append(f"{said}; the gradients are also right with random numbers in place of the zeros")
    return report
