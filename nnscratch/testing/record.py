"""What was checked in a run of tests: kept only while ``--gradcheck-report`` is on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

CHECKED: list[tuple[str, str, int, float, str]] = []
"""(test, title of the target, arrays, largest error, verdict) of each check."""

_test: list[str] = []


@contextmanager
def under(test: str) -> Iterator[None]:
    """File the checks made inside under the name `test`."""
    _test.append(test)
    try:
        yield
    finally:
        _test.pop()


def add(report: Any) -> None:
    """Write down `report`, if anybody asked."""
    if _test:
        CHECKED.append((_test[-1], report.title, len(report), report.max_error, report.verdict))


def rows() -> list[tuple[str, int, int, float, str]]:
    """For each test and target: its name, how many checks, how many arrays, the largest error, the worst verdict."""
    order = ("right", "cannot tell", "wrong")
    found: dict[str, list] = {}
    for test, title, arrays, error, verdict in CHECKED:
        row = found.setdefault(f"{test} {title}", [0, 0, 0.0, "right"])
        row[0] += 1
        row[1] += arrays
        row[2] = max(row[2], error)
        row[3] = max(row[3], verdict, key=order.index)
    return [(name, *row) for name, row in found.items()]
