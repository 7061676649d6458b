"""A log of the gradient checks in a test run, for ``pytest --gradcheck-report``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

CHECKED: list[tuple[str, str, int, float, str]] = []
"""(test, name of the checked code, number of arrays, largest error, verdict) of each check."""

_test: list[str] = []
_collecting: list[list[Any]] = []


@contextmanager
def log_under(test: str) -> Iterator[None]:
    """Log the checks inside the ``with`` block under the name `test`."""
    _test.append(test)
    try:
        yield
    finally:
        _test.pop()


@contextmanager
def collect() -> Iterator[list[Any]]:
    """Collect the reports of the checks inside the ``with`` block in a list."""
    reports: list[Any] = []
    _collecting.append(reports)
    try:
        yield reports
    finally:
        _collecting.pop()


def add(report: Any) -> None:
    """Log `report` if a test is being logged. Also add it to each list that an open `collect` has yielded."""
    for reports in _collecting:
        reports.append(report)
    if _test:
        CHECKED.append((_test[-1], report.title, len(report), report.max_error, report.verdict))


def rows() -> list[tuple[str, int, int, float, str]]:
    """Return one row for each pair of a test and a piece of code that the test checked.

    A row is a tuple: the name, the number of checks, the number of checked arrays, the largest error, and the worst
    verdict.
    """
    order = ("right", "incomplete", "cannot tell", "wrong")
    found: dict[str, list] = {}
    for test, title, arrays, error, verdict in CHECKED:
        row = found.setdefault(f"{test} {title}", [0, 0, 0.0, "right"])
        row[0] += 1
        row[1] += arrays
        row[2] = max(row[2], error)
        row[3] = max(row[3], verdict, key=order.index)
    return [(name, *row) for name, row in found.items()]
