"""What the README shows is what happens: its programs run, and print what stands under them."""

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
