"""The code of docs/explain.md runs and prints what its comments say."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "explain.md"
if not PAGE.is_file():
    pytest.skip("the docs are not part of an installation", allow_module_level=True)


def test_the_code_of_the_page_prints_what_it_says(capsys):
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL))
    exec(compile(code, "explain.md", "exec"), {"__name__": "page"})
    said = re.findall(r"^print\(.*  # (.*)", code, re.MULTILINE)  # a comment starts with what is printed
    printed = iter(capsys.readouterr().out.splitlines())
    assert len(said) >= 6
    for comment in said:
        assert any(line and comment.startswith(line) for line in printed), f"{comment!r} is not printed"
