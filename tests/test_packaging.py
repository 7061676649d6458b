"""Test that the installed package has the version, entry points, data and types that setup.cfg declares."""

import ast
import configparser
from importlib.metadata import PackageNotFoundError, distribution
from importlib.resources import files
from pathlib import Path

import pytest

import nnscratch
from nnscratch.course import autograder


@pytest.fixture
def installed():
    try:
        return distribution("nnscratch")
    except PackageNotFoundError:
        pytest.skip("nnscratch is not installed here, only found on the path: pip install -e .")


def test_the_version_is_a_literal_which_a_build_reads_without_importing_numpy():
    tree = ast.parse((files("nnscratch") / "__init__.py").read_text(encoding="utf-8"))
    values = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and [target.id for target in node.targets] == ["__version__"]
    ]
    assert values == [nnscratch.__version__]


def test_the_installed_version_is_the_codes(installed):
    assert installed.version == nnscratch.__version__


def test_the_metadata_says_licence_python_and_extras(installed):
    assert installed.metadata["License-Expression"] == "MIT"
    assert installed.metadata["Requires-Python"] == ">=3.11"
    assert set(installed.metadata.get_all("Provides-Extra")) >= {
        *("cuda12", "cuda13", "test", "oracle", "notebooks", "docs", "lint")
    }


def test_an_extra_with_the_cuda_libraries_needs_a_cupy_that_has_it():
    """CuPy 13 has no extra ``ctk``: pip would install it without the libraries, and only warn."""
    settings = configparser.ConfigParser()
    settings.read(Path(__file__).parents[1] / "setup.cfg")
    extras = settings["options.extras_require"]
    cupy = [line for name in ("cuda12", "cuda13") for line in extras[name].split()]
    assert cupy == ["cupy-cuda12x[ctk]>=14.0", "cupy-cuda13x[ctk]>=14.0"]


@pytest.mark.parametrize(("group", "target"), [("console_scripts", "nnscratch.cli"), ("pytest11", "nnscratch")])
def test_the_entry_points_load(installed, group, target):
    (entry,) = (entry for entry in installed.entry_points if entry.group == group)
    assert entry.name == "nnscratch" and entry.value.startswith(target)
    entry.load()


@pytest.mark.parametrize(
    "name",
    [
        "py.typed",
        "data/files/README.md",
        "data/files/digits.csv.gz",
        *(f"data/files/{title}.txt.bz2" for title in nnscratch.data.AUSTEN),
    ],
)
def test_files_that_are_no_code_are_there(name):
    assert (files("nnscratch") / name).is_file()


def test_the_autograder_installs_the_packages_of_setup_cfg():
    settings = configparser.ConfigParser()
    settings.read(Path(__file__).parent.parent / "setup.cfg")
    needs = settings["options"]["install_requires"] + settings["options.extras_require"]["grade"]
    assert set(autograder.PACKAGES.replace("'", "").split()) == {
        need.partition(";")[0].strip() for need in needs.strip().splitlines()
    }
