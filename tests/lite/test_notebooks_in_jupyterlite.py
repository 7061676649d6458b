"""Run notebooks in JupyterLite, in headless Chromium without network access: make lite-test.

NNSCRATCH_LITE is the folder with the test's build of JupyterLite.
"""

import json
import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SITE = os.environ.get("NNSCRATCH_LITE")
pytestmark = [
    pytest.mark.site,
    pytest.mark.skipif(not SITE, reason="a test of JupyterLite in a browser: make lite-test"),
]
LEFT_OUT = ("16",)  # as in docs/lite/build.py
ALL = sorted(path.name for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
NOTEBOOKS = [name for name in ALL if name[:2] not in LEFT_OUT]


@pytest.fixture(scope="module")
def address():
    from browser import served

    with served(SITE) as address:
        yield address


def first_solution(name):
    """Return the code of the first hidden solution of a notebook."""
    cells = json.loads((ROOT / "notebooks" / name).read_text(encoding="utf-8"))["cells"]
    texts = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    return next(m[1] for text in texts if (m := re.search(r"<details>.*?```python\n(.*?)```", text, re.DOTALL)))


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs_to_its_end_draws_its_figures_and_checks_an_exercise(name, address):
    from notebook_page import NotebookPage

    notebook = NotebookPage(address, name)
    try:
        notebook.write("exercise-1", first_solution(name))
        notebook.run_all()
        assert notebook.mistakes() == []
        printed = notebook.printed()
        assert "Exercise 1: solved." in printed and "Exercise 2: not yet." in printed
        uses_fast = "nn.testing.fast()" in (ROOT / "notebooks" / name).read_text(encoding="utf-8")
        assert ("This notebook runs in a browser" in printed) is uses_fast
        assert any("image/png" in output.get("data", {}) for output in notebook.outputs())
    finally:
        notebook.close()
