"""Every example in a docstring runs and prints the output shown."""

import doctest
import importlib
import pkgutil

import pytest

import nnscratch

MODULES = ["nnscratch"] + [
    module.name for module in pkgutil.walk_packages(nnscratch.__path__, "nnscratch.") if "__main__" not in module.name
]


NEED_OPTUNA = {"nnscratch.training.search", "nnscratch.plotting.search"}


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_hold(name, tmp_path, monkeypatch):
    if name in NEED_OPTUNA:
        pytest.importorskip("optuna")
    monkeypatch.chdir(tmp_path)  # an example may write files
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0, "see the printed output"
