"""The tests in this folder compare with PyTorch, tokenizers, tiktoken and transformers, and need them all.

Where one is not installed, the tests that use it are skipped. Where NNSCRATCH_REQUIRE_ORACLE is set, as in CI,
a missing library is an error instead.
"""

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).parent
MISSING = [library for library in ("torch", "tokenizers", "tiktoken", "transformers") if find_spec(library) is None]

if MISSING and os.environ.get("NNSCRATCH_REQUIRE_ORACLE"):
    raise RuntimeError(
        f"NNSCRATCH_REQUIRE_ORACLE is set, and not installed: {', '.join(MISSING)}. pip install 'nnscratch[oracle]'"
    )


def pytest_collection_modifyitems(items):
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.oracle)
