"""The pytest plugin: a ``gradcheck`` fixture, and ``--gradcheck-report``, which lists every check of the run.

Where nnscratch is installed, pytest loads this file at the start of every run, even if the tests do not use nnscratch.
So this file is outside the package, and its functions import the package when they need it: importing nnscratch, NumPy
and matplotlib takes up to a second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("nnscratch", "gradient checks")
    group.addoption(
        "--gradcheck-report",
        action="store_true",
        help="after the run, list every gradient that the gradcheck fixture and assert_gradients_match checked",
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--gradcheck-report"):
        config.pluginmanager.register(Report(), "nnscratch_gradcheck_report")


@pytest.fixture
def gradcheck() -> Callable[..., Any]:
    """Return the function ``gradcheck(subject, *inputs, ...)``. It fails the test unless every gradient is right.

    Its arguments are those of :func:`nnscratch.gradcheck.check_gradients`, and it returns the report.
    """
    from nnscratch.testing import assert_gradients_match

    return assert_gradients_match


class Report:
    """With ``--gradcheck-report``: log the checks of each test under the test's name, and list them at the end."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        from nnscratch.testing import check_log

        with check_log.log_under(item.nodeid):
            return (yield)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        from nnscratch.testing import check_log

        terminalreporter.section("gradients checked")
        for name, checks, arrays, worst, verdict in check_log.rows():
            terminalreporter.write_line(f"{verdict:12} {worst:9.1e}  {checks:5} checks  {arrays:6} arrays  {name}")
        if not check_log.CHECKED:
            terminalreporter.write_line("none")
