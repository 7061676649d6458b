"""Small constants: accept a gradient that leaves out the 1e-7 in ``np.log(p + 1e-7)``.

Code adds a small constant to avoid log(0) or a division by 0. Many courses leave this constant out of the derivative.
For example, courses use (y - t) / N as the gradient of softmax with cross-entropy, although the code computes
log(y + 1e-7). Compared with finite differences, this gradient has a relative error of about 1e-7 / y.

To test whether small constants are the reason, this file runs forward and backward again without them. It sets c = 0 in
every operation ``a + c`` or ``a - c`` with 0 < abs(c) <= 1e-5. If backward then agrees with finite differences at every
element that looked wrong, the constants are the only reason. In this case, the verdict becomes "right" with a note if
the constants change the gradient by at most 1 %, and "cannot tell" otherwise. If the code has another mistake, backward
still disagrees with finite differences without the constants, and the verdict stays "wrong".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .differences import Differences
from .entries import EntryChecker
from .projection import Projection
from .report import Entry, GradientReport
from .tape import traced
from .tape.source import calling_code
from .verdict import is_comparable

LARGEST = 1e-5  # the largest constant that counts as small: the default eps of batch normalisation
# If the constants change the gradient by more than this number times its largest element, the verdict is "cannot tell".
NEGLIGIBLE = 1e-2
SHOWN = 3  # the largest number of lines of code that a note names


def excuse_small_constants(report: GradientReport, projection: Projection, checker: EntryChecker) -> None:
    """Change the verdict of each wrong entry whose gradient is right if the code runs without its small constants.

    Parameters
    ----------
    report : GradientReport
        The report with the wrong entries. It receives a note for each changed verdict.
    projection : Projection
    checker : EntryChecker
        The EntryChecker that made the entries of `report`.
    """
    wrong = [entry for entry in report if entry.verdict == "wrong" and is_comparable(entry)]
    if not wrong or checker.differences.itemsize < 8:
        return
    try:
        constants = ConstantsLeftOut()
        with traced(projection, constants, backward=True) as plain:
            analytic = plain.analytic()
            if not constants.places:
                return
            differences = Differences(plain, 8, checker.differences.rtol)
            again = EntryChecker(differences, checker.settings, np.random.default_rng(0))
            excused = [e for e in wrong if analytic.get(e.name) is not None and agrees(e, analytic[e.name], again)]
    except Exception:  # some code does not accept traced arrays, and then the verdict stays the same
        return
    checker.differences.evaluations += differences.evaluations
    for entry in excused:
        said = f"right if small constants are left out ({'; '.join(constants.places[:SHOWN])})"
        if entry.error <= NEGLIGIBLE:
            entry.verdict = "right"
            report.notes.append(f"{entry.name}: {said}; with them, the relative error is {entry.error:.1e}")
        else:
            entry.verdict = "cannot tell"
            entry.reason = f"{said}, but with them, the relative error is {entry.error:.0%}; use other inputs"


def agrees(entry: Entry, analytic: np.ndarray, checker: EntryChecker) -> bool:
    """Return True if the gradient from backward agrees with finite differences when small constants are left out.

    `analytic` is the gradient that backward returns without the constants. `checker` measures the finite differences
    without the constants. It uses the elements that `entry` compares, or random directions in directional mode.
    """
    array = checker.differences.projection.variables[entry.name]
    if entry.along_directions:
        return checker.along_directions(entry.name, array, analytic).verdict == "right"
    measured = [tuple(int(i) for i in index) for index in np.argwhere(np.isfinite(entry.numeric))]
    tries = ([entry.worst_index], measured)  # the worst element first: if it is wrong, no other element is measured
    return all(checker.by_elements(entry.name, array, analytic, indices).verdict == "right" for indices in tries)


class ConstantsLeftOut:
    """Compute every operation of a `TracedArray` as usual, except the addition of a small constant.

    Attributes
    ----------
    places : list of str
        The lines of the code in which a constant was left out, with their source.
    """

    def __init__(self) -> None:
        self.places: list[str] = []

    def operation(self, name: str, compute: Callable, operands: list[Any], kwargs: dict) -> Any:
        """Compute one operation. `TracedArray` calls this method."""
        small = [is_small(x) for x in operands] if name in ("add", "subtract") else []
        if any(small):
            place = calling_code(name, len(operands), excuse_small_constants.__code__).place
            if place not in self.places:
                self.places.append(place)
            operands = [0.0 if left_out else x for x, left_out in zip(operands, small, strict=True)]
        return compute(*operands)


def is_small(value: Any) -> bool:
    """Return True for a small constant: a float that is at most `LARGEST` in absolute value, but not 0."""
    return isinstance(value, (float, np.floating)) and 0 < abs(value) <= LARGEST
