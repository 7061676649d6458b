"""The pytest plugin: a ``gradcheck`` fixture, and ``--gradcheck-report``, which lists everything checked in the run.

pytest loads it by its entry point. It imports nothing by itself; the checker is imported when the fixture is used.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("nnscratch", "gradient checks")
    group.addoption(
        "--gradcheck-report",
        action="store_true",
        help="after the run, list every gradient that the gradcheck fixture and assert_gradients_match checked",
    )


@pytest.fixture
def gradcheck() -> Callable[..., Any]:
    """``gradcheck(target, *inputs, ...)``: fails the test, with the printed report, unless every gradient is right.

    The arguments are those of :func:`nnscratch.gradcheck.check_gradients`; the report is returned.
    """
    from nnscratch.testing import assert_gradients_match

    return assert_gradients_match


@pytest.fixture(autouse=True)
def _gradcheck_test_name(request: pytest.FixtureRequest) -> Any:
    """While a test runs, checks made in it are filed under its name (only where the report was asked for)."""
    if not request.config.getoption("--gradcheck-report"):
        yield
        return
    from nnscratch.testing import record

    with record.under(request.node.nodeid):
        yield


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if not config.getoption("--gradcheck-report"):
        return
    from nnscratch.testing import record

    terminalreporter.section("gradients checked")
    for name, checks, arrays, worst, verdict in record.rows():
        terminalreporter.write_line(f"{verdict:12} {worst:9.1e}  {checks:5} checks  {arrays:6} arrays  {name}")
    if not record.CHECKED:
        terminalreporter.write_line("none")
