"""Run the tests on every Python and with the oldest and newest dependencies: ``nox``.

    nox                                 all of these; a Python that is not installed is skipped
    nox -s oldest -- tests/optim        one session, with arguments for pytest
"""

import configparser
import re

import nox

PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
PYTEST = ["-n", "auto", "--dist", "loadfile"]
nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "venv"


def lower_bounds() -> list[str]:
    """Return the dependencies of setup.cfg, each at its lower bound."""
    settings = configparser.ConfigParser()
    settings.read("setup.cfg")
    needs = settings["options"]["install_requires"].strip().splitlines()
    return [re.sub(r">=([\d.]+)", r"==\1.*", need) for need in needs]


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Test with the newest dependencies."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "pytest", *(session.posargs or PYTEST))


@nox.session(python=PYTHONS[0])
def oldest(session: nox.Session) -> None:
    """Test with the oldest Python and the oldest dependencies."""
    # matplotlib 3.9 calls functions that pyparsing 3.3 deprecates, and the tests read warnings as errors.
    session.install("-e", ".[test]", *lower_bounds(), "pyparsing<3.3")
    session.run("python", "-m", "pytest", *(session.posargs or PYTEST))


@nox.session(python=PYTHONS[-2])
def next_numpy(session: nox.Session) -> None:
    """Test with a pre-release of NumPy, if there is one. What it deprecates is an error, as in all tests."""
    session.install("-e", ".[test]")
    session.install("--pre", "--upgrade", "numpy")
    session.run("python", "-m", "pytest", *(session.posargs or PYTEST))
