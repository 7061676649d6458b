"""For other people's tests: an assertion, a pytest plugin (plugin.py), hypothesis strategies (strategies.py), and
exercises in notebooks (exercise.py).

>>> import numpy as np, nnscratch as nn
>>> report = assert_gradients_match(nn.Linear(3, 2, rng=0), np.ones((4, 3)))
>>> report.ok
True
"""

from __future__ import annotations

from typing import Any

from ..gradcheck import GradientReport, check_gradients
from . import record
from .exercise import exercise, fast

__all__ = ["assert_gradients_match", "exercise", "fast"]


def assert_gradients_match(target: Any, /, *inputs: Any, **options: Any) -> GradientReport:
    """Check the gradients of `target`, and fail with the printed report unless every one is right.

    Parameters
    ----------
    target, *inputs, **options
        As for :func:`nnscratch.gradcheck.check_gradients`.

    Returns
    -------
    GradientReport

    Raises
    ------
    AssertionError
        A gradient is wrong, a trap was met, or the check could not tell. The message is the report, which is also the
        error's attribute `report`.

    Examples
    --------
    >>> import numpy as np
    >>> report = assert_gradients_match((np.sin, lambda dy, x: dy * np.cos(x)), np.array([0.0, 1.0]))
    >>> report.verdict
    'right'
    """
    __tracebackhide__ = True
    report = check_gradients(target, *inputs, **options)
    record.add(report)
    if not report.ok:
        failure = AssertionError("\n" + report.text())
        failure.report = report  # type: ignore[attr-defined]
        raise failure
    return report
