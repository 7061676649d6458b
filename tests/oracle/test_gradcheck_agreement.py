"""The checker and torch.autograd.gradcheck agree on some of the cases of python -m benchmarks.checker."""

import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not (ROOT / "benchmarks").is_dir(), reason="benchmarks/ is not part of an installation")


def test_right_and_wrong_smooth_gradients_get_pytorchs_verdict(monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.syspath_prepend(ROOT)
    checker = importlib.import_module("benchmarks.checker")
    table, unlike = checker.agreement(50)
    assert not unlike, unlike[0]
    assert table[True, True] >= 20 and table[False, False] >= 20
