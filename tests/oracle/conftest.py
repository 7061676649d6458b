"""The tests in this folder compare with PyTorch, and are skipped where it is not installed.

Where NNSCRATCH_REQUIRE_ORACLE is set, as in CI, a missing PyTorch is an error instead.
"""

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).parent
MISSING = find_spec("torch") is None

if MISSING and os.environ.get("NNSCRATCH_REQUIRE_ORACLE"):
    raise RuntimeError("NNSCRATCH_REQUIRE_ORACLE is set, and PyTorch is not installed: pip install 'nnscratch[oracle]'")


def pytest_collection_modifyitems(items):
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.oracle)
