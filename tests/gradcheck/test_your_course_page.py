"""Every example of docs/gradcheck/your-course.md runs."""

import importlib.util
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "gradcheck" / "your-course.md"
if not PAGE.is_file():
    pytest.skip("the docs are not part of an installation", allow_module_level=True)

FIRST, *EXAMPLES = re.findall(r"(?ms)^```python\n(.*?)^```", PAGE.read_text())


@pytest.mark.parametrize("example", EXAMPLES, ids=[re.search(r"(?:class|def|lambda) ?(\w+)", e)[1] for e in EXAMPLES])
def test_the_example_runs(example):
    needed = re.match(r"# needs: (\w+)", example)
    if needed and importlib.util.find_spec(needed[1]) is None:
        pytest.skip(f"{needed[1]} is not installed")
    assert "check_gradients" in example
    exec(FIRST + example, {"__name__": "example"})


def test_the_page_is_linked():
    assert "gradcheck/your-course.md" in (PAGE.parents[1] / "gradcheck.md").read_text()
