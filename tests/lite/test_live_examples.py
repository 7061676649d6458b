"""Run the live examples of the site in Pyodide, in headless Chromium without network access: make lite-test."""

import doctest
import html
import json
import os
import re
from pathlib import Path

import pytest

BUILD = Path(__file__).parents[2] / "docs" / "_build"
pytestmark = [
    pytest.mark.site,
    pytest.mark.skipif(not os.environ.get("NNSCRATCH_LITE"), reason="a test of Pyodide in a browser: make lite-test"),
]
STATUS = "document.querySelectorAll('.live-status')[{}].textContent"


@pytest.fixture(scope="module")
def address():
    from browser import served

    with served(BUILD) as address:
        yield address


@pytest.fixture
def page():
    from browser import Page

    page = Page()
    yield page
    page.close()


def open_page(page, address, name):
    """Open a page that takes Pyodide from this machine."""
    page.open(f"{address}/html/{name}.html")
    page.js(f"document.querySelector('script[data-pyodide]').dataset.pyodide = '{address}/pyodide/'")


def click(page, button, example=0):
    page.js(f"document.querySelectorAll('.live-{button}')[{example}].click()")


def write(page, code):
    page.js(f"{{const editor = document.querySelector('textarea'); editor.value = {code!r}; editor.oninput()}}")


def run(page, example=0):
    """Press Run, wait until the example has ended, and return what it printed."""
    click(page, "run", example)
    page.wait(f"/Done|Error|Stopped|Not run/.test({STATUS.format(example)})", seconds=120)
    return page.js(f"document.querySelectorAll('.live-output')[{example}].textContent")


@pytest.mark.parametrize(
    "name, said",
    [
        ("index", "loss 0.0"),
        ("gradcheck", "given = 0.5 * true"),
        ("reference/generated/nnscratch.LSTM", "((4, 7, 5), (2, 4, 5))"),
        ("reference/generated/nnscratch.CrossEntropyLoss", "0.143841"),
    ],
)
def test_an_example_runs_and_runs_again_after_a_change(page, address, name, said):
    open_page(page, address, name)
    assert said in run(page)
    assert page.js(STATUS.format(0)).startswith("Done")
    click(page, "edit")
    write(page, "21 * 2")
    assert run(page) == "42"
    click(page, "edit")
    assert said in run(page)
    assert page.errors == []


def test_an_error_is_shown_and_the_next_run_works(page, address):
    open_page(page, address, "index")
    click(page, "edit")
    write(page, "x = 3\nprint('before')\nx / 0")
    assert run(page).startswith("before\nTraceback") and page.js(STATUS.format(0)) == "Error."
    assert page.js("document.querySelector('.live-output').matches('.live-failed')")
    write(page, "x")
    assert run(page) == "3"


def test_stop_ends_an_endless_loop(page, address):
    open_page(page, address, "index")
    click(page, "edit")
    write(page, "while True: pass")
    click(page, "run")
    page.wait(f"{STATUS.format(0)} === 'Running…'", seconds=120)
    click(page, "run")  # the button says Stop
    page.wait(f"{STATUS.format(0)}.startsWith('Stopped')")
    write(page, "'again'")
    assert run(page) == "'again'"


def test_a_block_runs_after_the_blocks_above_it(page, address):
    open_page(page, address, "gradcheck/your-course")
    run(page, 2)
    assert [page.js(STATUS.format(k))[:4] for k in range(4)] == ["Done", "Done", "Done", ""]


def test_a_figure_is_shown(page, address):
    open_page(page, address, "reference/generated/nnscratch.plotting.plot_history")
    run(page)
    page.wait("[...document.querySelectorAll('.live-output img')].some(i => i.naturalWidth > 300 && i.alt.length > 30)")


def test_without_pyodide_the_page_says_what_is_missing(page, address):
    page.open(f"{address}/html/index.html")  # takes Pyodide from its server, which this browser cannot reach
    assert run(page).startswith("Python did not start")
    assert page.js(STATUS.format(0)) == "Error."
    page.js(f"document.querySelector('script[data-pyodide]').dataset.pyodide = '{address}/pyodide/'")
    assert "loss 0.0" in run(page)


def live_code(path):
    """Return the code of the live blocks of a page of the built site, without lines that show an error."""
    block = r'<div class="[^"]*\blive\b[^"]*"><div class="highlight"><pre>(.*?)</pre>'
    found = re.findall(block, path.read_text(encoding="utf-8"), re.DOTALL)
    texts = [html.unescape(re.sub(r"<[^>]*>", "", text)) for text in found]
    parse = doctest.DocTestParser().get_examples
    return [
        "".join(part.source for part in parse(text) if part.exc_msg is None) if text.startswith(">>>") else text
        for text in texts
    ]


def test_every_live_example_of_every_page_runs(page, address):
    open_page(page, address, "index")
    page.js(f"""window.run = (source) => new Promise((done) => {{
        window.python ??= new Worker('_static/live-worker.js');
        python.onmessage = ({{ data }}) => data.started || done(data);
        python.postMessage({{ pyodide: '{address}/pyodide/', source }});
    }}), 0""")
    codes = [(path.stem, code) for path in sorted((BUILD / "html").rglob("*.html")) for code in live_code(path)]
    assert len(codes) > 200
    results = [(name, page.js(f"run({json.dumps(code)})")) for name, code in codes]
    assert [f"{name}: {result['text']}" for name, result in results if result["failed"]] == []
