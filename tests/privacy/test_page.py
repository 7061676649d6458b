"""The code of docs/reference/privacy.md runs and prints what its comments and its table say."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "privacy.md"
if not PAGE.is_file():
    pytest.skip("the docs are not part of an installation", allow_module_level=True)


def test_the_code_of_the_page_prints_what_it_says(capsys):
    page = PAGE.read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL))
    exec(compile(code, "privacy.md", "exec"), {"__name__": "page"})
    printed = capsys.readouterr().out.splitlines()
    said = re.findall(r"^print\(.*  # (\w+)", code, re.MULTILINE)
    assert len(said) >= 3 and printed[: len(said)] == said
    table = re.search(r"^\| re-weighted, the code above \| (.*) \|$", page, re.MULTILINE)[1]
    for number in map(float, table.split(" | ")):  # the accuracies of both groups and the two gaps
        assert any(abs(float(found) - number) < 0.02 for found in re.findall(r"\d\.\d+", "\n".join(printed))), number
