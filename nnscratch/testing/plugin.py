"""The pytest plugin: a ``gradcheck`` fixture, and ``--gradcheck-report``, which lists every check of the run.

pytest loads this file through its entry point. The checker is imported only when the fixture is used.
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
    """Return the function ``gradcheck(subject, *inputs, ...)``. It fails the test unless every gradient is right.

    Its arguments are those of :func:`nnscratch.gradcheck.check_gradients`, and it returns the report.
    """
    from nnscratch.testing import assert_gradients_match

    return assert_gradients_match


@pytest.fixture(autouse=True)
def _gradcheck_test_name(request: pytest.FixtureRequest) -> Any:
    """With ``--gradcheck-report``, log the checks of each test under the test's name."""
    if not request.config.getoption("--gradcheck-report"):
        yield
        return
    from nnscratch.testing import check_log

    with check_log.log_under(request.node.nodeid):
        yield


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if not config.getoption("--gradcheck-report"):
        return
    from nnscratch.testing import check_log

    terminalreporter.section("gradients checked")
    for name, checks, arrays, worst, verdict in check_log.rows():
        terminalreporter.write_line(f"{verdict:12} {worst:9.1e}  {checks:5} checks  {arrays:6} arrays  {name}")
    if not check_log.CHECKED:
        terminalreporter.write_line("none")
