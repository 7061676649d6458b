"""Check the built site with axe-core: WCAG 2.1, levels A and AA, light and dark, desk and phone: make docs-axe.

NNSCRATCH_AXE is the path of axe.min.js from the npm package ``axe-core``.
"""

import os
from pathlib import Path

import pytest
from browser import Page, served

HTML = Path(__file__).parents[2] / "docs" / "_build" / "html"
AXE = os.environ.get("NNSCRATCH_AXE")
pytestmark = [pytest.mark.site, pytest.mark.skipif(not AXE, reason="a check of the built site: make docs-axe")]

PAGES = ["index", "tutorials", "gradcheck", "gradcheck/reading-a-report", "derivations/lstm", "performance", "glossary",
         "coming-from-pytorch", "exercises", "reference/layers", "reference/generated/nnscratch.LSTM",
         "notebooks/01_one_neuron", "notebooks/05_mlp_reads_digits", "notebooks/12_lstm_and_gru",
         "notebooks/18_your_own_layer"]  # fmt: skip
RUN = """axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa']}).then(
    result => result.violations.map(found => found.id + ': ' + found.nodes[0].html.slice(0, 200)))"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1300, 390])
def test_a_page_meets_wcag_aa_and_every_picture_has_a_text(width, dark):
    page = Page(width=width, dark=dark, phone=width == 390)
    try:
        with served(HTML) as address:
            found = {}
            for name in PAGES:
                page.open(f"{address}/{name}.html")
                page.js(Path(AXE).read_text(encoding="utf-8") + "; 0")
                found[name] = page.js(RUN)
                bare = "[...document.querySelectorAll('article img')].filter(i => !i.alt || i.alt.includes('_images/'))"
                found[name] += page.js(f"{bare}.map(i => 'no text: ' + i.src)")
            assert {name: problems for name, problems in found.items() if problems} == {}
    finally:
        page.close()


def test_every_page_fits_the_width_of_a_phone():
    pages = [path.relative_to(HTML).as_posix() for path in sorted(HTML.rglob("*.html"))]
    pages = [name for name in pages if not name.startswith(("_", "lite/", "reference/generated/"))]
    assert len(pages) > 50
    phone = Page(width=390, height=844, phone=True)
    try:
        with served(HTML) as address:
            widths = {}
            for name in pages:
                phone.open(f"{address}/{name}")
                widths[name] = phone.js("document.documentElement.scrollWidth")
            assert {name: width for name, width in widths.items() if width > 390} == {}
    finally:
        phone.close()
