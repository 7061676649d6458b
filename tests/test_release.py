"""The files of a release agree with the package."""

import configparser
import fnmatch
import json
import re
import tomllib
from pathlib import Path

import pytest

import nnscratch

ROOT = Path(__file__).parents[1]


def text_of(name):
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_citation_and_the_changelog_name_the_version():
    assert re.search(r"^version: (.*)$", text_of("CITATION.cff"), re.M)[1] == nnscratch.__version__
    assert nnscratch.__version__ in text_of("CHANGELOG.md")


def test_the_lower_bounds_are_versions_that_nox_can_install():
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    for need in settings["options"]["install_requires"].strip().splitlines():
        assert re.fullmatch(r"[a-z]+>=[\d.]+\d(; .*)?", need), need


@pytest.mark.parametrize("name", re.findall(r"`(make [a-z-]+)`", text_of("CONTRIBUTING.md")))
def test_the_commands_of_the_contributors_page_exist(name):
    assert re.search(rf"^{name.removeprefix('make ')}:", text_of("Makefile"), re.M)


def test_every_exception_from_the_review_has_a_reason():
    ignored = tomllib.loads(text_of("pyproject.toml"))["tool"]["repo-review"]["ignore"]
    assert ignored and all(len(reason) > 20 for reason in ignored.values())


def test_the_sdist_holds_what_the_tests_read():
    manifest = text_of("MANIFEST.in").split()
    for name in ("CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "noxfile.py", "Makefile", "tests", "docs"):
        assert name in manifest and (ROOT / name).exists()


def test_every_data_file_has_a_source_and_a_licence():
    folder = ROOT / "nnscratch" / "data" / "files"
    sections = re.findall(r"^## [^`\n]*`(.*?)`\n(.*?)(?=^## )", text_of(folder / "README.md"), re.M | re.S)
    patterns = [pattern for pattern, text in sections if "**Source:**" in text and "**Licence:**" in text]
    without = [
        path.name
        for path in folder.iterdir()
        if path.name != "README.md" and not any(fnmatch.fnmatch(path.name, pattern) for pattern in patterns)
    ]
    assert patterns and without == []


def test_the_sbom_of_a_release_names_every_dependency_with_its_licence():
    path = ROOT / "build" / "sbom.json"
    if not path.exists():
        pytest.skip("make release-check writes it")
    licences = {part["name"].lower(): part.get("licenses") for part in json.loads(path.read_text())["components"]}
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    needs = settings["options"]["install_requires"].strip().splitlines()
    for name in ("nnscratch", *(re.match(r"[a-z]+", need)[0] for need in needs)):
        assert licences[name], name
