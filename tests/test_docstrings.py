"""Every example in a docstring runs and prints the output shown, and an indented block stands between blank lines."""

import ast
import doctest
import importlib
import pkgutil
import re
from pathlib import Path

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


HEADING = r"\n[A-Z].*\n-{3,}\n"
LIST_ITEM = r"(-|\d+\.) "
COLUMNS = r"\S {2,}\S"


def hanging_lines(docstring):
    """Return the paragraphs with an indented line that follows text: Sphinx would read a definition list."""
    text = re.split(HEADING, docstring)[0]
    blocks = re.split(r"\n(?: *\n)+", text)
    plain = [b for b in blocks if not (b.startswith(" ") or re.match(LIST_ITEM, b) or re.search(COLUMNS, b))]
    return [block for block in plain if "\n " in block]


@pytest.mark.parametrize("path", sorted(Path(nnscratch.__file__).parent.rglob("*.py")), ids=lambda path: path.stem)
def test_an_indented_block_of_a_docstring_stands_between_blank_lines(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            assert not hanging_lines(ast.get_docstring(node) or ""), getattr(node, "name", "the docstring of the file")


def test_an_indented_line_after_text_is_found():
    assert hanging_lines("A title.\n\nThey are equal, because\n    a = b.\nSo c.") != []
    assert hanging_lines("A title.\n\nThey are equal:\n\n    a = b\n\nSo c.\n\n- an item\n  of a list") == []
