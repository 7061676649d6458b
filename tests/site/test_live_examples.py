"""Test the examples that run in the page: which blocks they are, the program that runs them, and their buttons.

The tests of the buttons need the built site: make docs-test. tests/lite runs the examples in Pyodide.
"""

import base64
import importlib.util
import json
import os
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
if not DOCS.is_dir():
    pytest.skip("docs/ is not part of an installation", allow_module_level=True)
HTML = DOCS / "_build" / "html"
needs_the_site = pytest.mark.skipif(not os.environ.get("NNSCRATCH_SITE"), reason="needs the built site: make docs-test")

MARKDOWN = [DOCS / "gradcheck.md", *sorted((DOCS / "gradcheck").glob("*.md"))]


def module(name):
    if name == "live_examples":
        pytest.importorskip("docutils", reason="needs docutils, which make docs-test installs")
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


EXAMPLES = module("run_example")


def run(source, names):
    return json.loads(EXAMPLES.run(source, names))


def test_an_expression_outside_a_loop_prints_its_value_and_names_are_kept():
    names = {}
    assert run("x = 2\nx + 1\nfor k in range(2):\n    k\nprint('end')\nNone", names)["text"] == "3\nend\n"
    assert run("x", names) == {"text": "2\n", "failed": False, "pictures": []}


@pytest.mark.parametrize(
    "source, last", [("1 / 0", "ZeroDivisionError: division by zero"), ("(", "SyntaxError: '(' was never closed")]
)
def test_an_error_shows_the_line_of_the_example_and_no_line_of_the_site(source, last):
    result = run(source, {})
    assert result["failed"]
    assert result["text"].rstrip().endswith(last)
    assert source in result["text"] and ".py" not in result["text"]


def test_the_end_of_the_program_ends_only_the_example():
    assert run("import sys\nsys.exit('enough')", {})["text"].endswith("SystemExit: enough\n")


@pytest.mark.parametrize(
    "source",
    ["ax = nn.plotting.plot_history([2.0, 1.0])", "nn.plotting.plot_history([2.0, 1.0])"],
    ids=["kept", "shown"],
)
def test_a_figure_is_a_picture_with_a_description(source):
    ((png, text),) = run(f"import nnscratch as nn\n{source}", {})["pictures"]
    assert base64.b64decode(png).startswith(b"\x89PNG")
    assert text == "Figure of the example. loss, mean over the targets over step"


def test_a_figure_of_pyplot_is_shown_once():
    names = {}
    source = "import matplotlib\nmatplotlib.use('agg')\nimport matplotlib.pyplot as plt\nfig, ax = plt.subplots()"
    assert len(run(source, names)["pictures"]) == 1
    assert run("1", names)["pictures"] == []


def test_the_checker_reads_the_source_of_a_function_of_an_example():
    names = {}
    run("def f(x):\n    return x + 1", names)
    assert run("import inspect\ninspect.getsource(f)", names)["text"] == repr("def f(x):\n    return x + 1") + "\n"


@pytest.mark.parametrize("code", ["import torch", "from jax import numpy", "import cupy", "def test_layer(): ..."])
def test_code_for_other_libraries_does_not_run_in_the_page(code):
    assert not module("live_examples").can_run(code)


def test_an_example_of_a_docstring_shows_the_imports_that_it_needs():
    import nnscratch.data.idx

    lines = ["Text", "", "    >>> np.ones(2) is read_idx", "    >>> Path = Path", "    >>> missing"]
    module("live_examples").add_imports(None, "function", "", nnscratch.data.idx.read_idx, None, lines)
    assert lines[2:4] == ["    >>> import numpy as np", "    >>> from nnscratch.data import read_idx"]
    lines = [">>> Path('x')"]
    module("live_examples").add_imports(None, "function", "", nnscratch.data.idx.read_idx, None, lines)
    assert lines == [">>> from pathlib import Path", ">>> Path('x')"]


@pytest.mark.parametrize("page", MARKDOWN, ids=lambda page: page.stem)
def test_the_live_blocks_of_a_page_run_from_top_to_bottom(page):
    can_run, names = module("live_examples").can_run, {"__name__": "__main__"}
    for block in re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        if can_run(block):
            result = run(block, names)
            assert not result["failed"], result["text"]


@pytest.fixture(scope="module")
def address():
    from browser import served

    with served(HTML) as address:
        yield address


@pytest.fixture(scope="module")
def page():
    from browser import Page

    page = Page(width=390, height=844, phone=True)
    yield page
    page.close()


@pytest.mark.site
@needs_the_site
@pytest.mark.parametrize(
    "name, live", [("index", 1), ("gradcheck", 1), ("reference/generated/nnscratch.LSTM", 1), ("performance", 0)]
)
def test_a_page_has_buttons_below_its_live_blocks_only(page, address, name, live):
    page.open(f"{address}/{name}.html")
    assert page.errors == []
    assert page.js("[...document.querySelectorAll('.live-run')].map(b => b.textContent)") == ["Run"] * live
    blocks = "[...document.querySelectorAll('article div.highlight-console, article div.highlight-text')]"
    assert page.js(f"{blocks}.some(b => b.nextElementSibling?.matches('.live-tools'))") is False
    assert [url for url in page.requests if "pyodide" in url] == []


@pytest.mark.site
@needs_the_site
def test_the_editor_has_the_code_without_prompts_and_outputs_and_fits_a_phone(page, address):
    page.open(f"{address}/reference/generated/nnscratch.LSTM.html")
    block = page.js("document.querySelector('div.live pre').textContent")
    page.js("document.querySelector('.live-edit').click()")
    code = page.js("document.querySelector('textarea').value")
    assert code.startswith("import numpy as np") and ">>>" in block and ">>>" not in code
    assert len(code.splitlines()) == len(re.findall(r"^(>>>|\.\.\.)", block, re.MULTILINE))
    assert page.js("document.activeElement.tagName") == "TEXTAREA"
    assert page.js("document.querySelector('div.live').checkVisibility()") is False
    assert page.js("document.documentElement.scrollWidth") <= 390
    page.js("document.querySelector('.live-edit').click()")
    assert page.js("document.querySelector('div.live').checkVisibility()") is True
