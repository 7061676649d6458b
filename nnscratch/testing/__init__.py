"""Tools for your own tests and notebooks.

They are assertions (values.py), strategies for hypothesis (strategies.py), exercises (exercise.py) and quick questions
(quick.py).

The pytest plugin is the file nnscratch_pytest.py, next to this package.

>>> import numpy as np, nnscratch as nn
>>> report = assert_gradients_match(nn.Linear(3, 2, rng=0), np.ones((4, 3)))
>>> report.ok
True
"""

from __future__ import annotations

from typing import Any

from ..gradcheck import GradientReport, check_gradients
from . import check_log
from .exercise import exercise, fast
from .quick import quick_questions
from .values import assert_values_match

__all__ = ["assert_gradients_match", "assert_values_match", "exercise", "fast", "quick_questions"]


def assert_gradients_match(subject: Any, /, *inputs: Any, **options: Any) -> GradientReport:
    """Check the gradients of `subject`. Unless all are right, raise an AssertionError with the printed report.

    Parameters
    ----------
    subject, *inputs, **options
        The arguments of :func:`nnscratch.gradcheck.check_gradients`.

    Returns
    -------
    GradientReport

    Raises
    ------
    AssertionError
        The verdict is not "right": a gradient is wrong, the check found another fault (see `GradientReport.traps`), or
        the check cannot tell. The message is the printed report; the error's attribute `report` is the GradientReport.

    Examples
    --------
    >>> import numpy as np
    >>> report = assert_gradients_match((np.sin, lambda dy, x: dy * np.cos(x)), np.array([0.0, 1.0]))
    >>> report.verdict
    'right'
    """
    __tracebackhide__ = True
    report = check_gradients(subject, *inputs, **options)
    check_log.add(report)
    if not report.ok:
        failure = AssertionError("\n" + report.text())
        failure.report = report  # type: ignore[attr-defined]
        raise failure
    return report
