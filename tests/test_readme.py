"""Test that the README is true: its programs print the output shown, its links exist, and its map fits the package."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from seed_program import PROGRAM

README = Path(__file__).parents[1] / "README.md"
if not README.is_file():
    pytest.skip("the README is not part of an installation", allow_module_level=True)
TEXT = README.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


def test_the_seed_program_stands_in_it_word_for_word():
    assert ("python", PROGRAM.lstrip("\n")) in BLOCKS


def test_the_checkers_example_prints_the_report_shown(tmp_path):
    (k,) = (k for k, (_, code) in enumerate(BLOCKS) if "def relu_backward" in code)
    (tmp_path / "example.py").write_text(BLOCKS[k][1], encoding="utf-8")
    done = subprocess.run([sys.executable, "example.py"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert BLOCKS[k + 1] == ("text", done.stdout)


def test_every_file_it_points_to_is_there():
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", TEXT)
    assert targets and [t for t in targets if not (README.parent / t).exists()] == []


def test_nothing_is_left_to_fill_in():
    assert "@@" not in TEXT


def modules_of_the_map():
    """Return {top-level module or folder of the package: line of the map}."""
    (lines,) = (block.splitlines()[1:] for kind, block in BLOCKS if block.startswith("nnscratch/\n"))
    lines = [line for line in lines if line.startswith("    ")]
    names = [re.split(r" {3,}", line)[1].split() for line in lines]
    return {re.sub(r"/|\.py$", "", name): k for k, line in enumerate(names) for name in line}


def imported_at_import_time(node):
    """Yield each module of the package, such as ``layers``, that a file imports outside functions."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ImportFrom):
            yield child
        elif not isinstance(child, ast.FunctionDef) and "TYPE_CHECKING" not in ast.unparse(child).split("\n")[0]:
            yield from imported_at_import_time(child)


def test_the_map_names_every_part_of_the_package():
    package = README.parent / "nnscratch"
    parts = {path.stem for path in package.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert modules_of_the_map().keys() == parts - {"__init__", "__main__"}


def test_each_line_of_the_map_imports_only_from_the_lines_above_it():
    line, package, wrong = modules_of_the_map(), README.parent / "nnscratch", []
    for path in package.rglob("*.py"):
        inside = path.relative_to(package).with_suffix("").parts
        if inside[0].startswith("__"):
            continue
        for node in imported_at_import_time(ast.parse(path.read_text(encoding="utf-8"))):
            if node.level and node.level >= len(inside):  # an import from another part of the package
                names = [node.module.split(".")[0]] if node.module else [alias.name for alias in node.names]
                wrong += [f"{'/'.join(inside)} imports {name}" for name in names if line.get(name, 0) > line[inside[0]]]
    assert wrong == []
