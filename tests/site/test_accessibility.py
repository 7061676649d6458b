"""Check the built site with axe-core (WCAG 2.1, levels A and AA), at a desk and on a phone, in light and dark.

make docs-test checks one page of each kind, and make docs-axe checks all pages. NNSCRATCH_AXE is the path of the file
axe.min.js.
"""

import os
from pathlib import Path

import pytest
from browser import Page, served

HTML = Path(__file__).parents[2] / "docs" / "_build" / "html"
AXE = os.environ.get("NNSCRATCH_AXE")
pytestmark = [pytest.mark.site, pytest.mark.skipif(not AXE, reason="a check of the built site: make docs-test")]

PAGES = ["index.html", "notebooks/16_the_gpu.html", "reference/generated/nnscratch.LSTM.html",
         "gradcheck/reading-a-report.html", "derivations/dropout.html", "course/rules.html", "search.html?q=LSTM",
         "results/memory.html", "performance/busy.html", "_modules/index.html"]  # fmt: skip
if os.environ.get("NNSCRATCH_AXE_PAGES") == "all":
    files = (path.relative_to(HTML).as_posix() for path in sorted(HTML.rglob("*.html")))
    PAGES = ["search.html?q=LSTM", *(name for name in files if not name.startswith(("_static", "lite/")))]

RULES = """axe.run(document, {preload: false, resultTypes: ['violations'], runOnly: %s}).then(
    result => result.violations.map(found => found.id + ': ' + found.nodes[0].html.slice(0, 200)))"""
WCAG = RULES % "['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa']"
CONTRAST = RULES % "{type: 'rule', values: ['color-contrast']}"
# A page has thousands of coloured words of code and parts of formulas. Keep one word of each kind, and no formula.
ONE_OF_EACH_COLOUR = """const kinds = new Set();
for (const word of document.querySelectorAll('article pre span')) {
    const kind = word.className + word.closest('div.highlight').parentElement.className;
    if (kinds.has(kind)) word.replaceWith(...word.childNodes);
    kinds.add(kind);
}
document.querySelectorAll('mjx-container').forEach(formula => formula.replaceChildren());"""
PHONE = {"width": 390, "height": 844, "phone": True}
PICTURES_WITHOUT_A_TEXT = """[...document.querySelectorAll('article img')].filter(
    picture => !picture.alt || picture.alt.includes('_images/')).map(picture => picture.src)"""
SCROLLS_SIDEWAYS = """[...document.querySelectorAll('html, article pre, article table, article .cell_output')].map(
    part => part.matches('table') ? part.parentElement : part).filter(part => part.scrollWidth > part.clientWidth).map(
    part => part.className + ': ' + part.textContent.trim().slice(0, 80))"""


@pytest.fixture(scope="module")
def address():
    with served(HTML) as address:
        yield address


@pytest.fixture(scope="module")
def page():
    page = Page()
    yield page
    page.close()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_meets_wcag_aa_and_nothing_on_it_scrolls_sideways_on_a_phone(page, address, name):
    page.look(**PHONE)
    page.open(f"{address}/{name}")
    found = {"scrolls sideways": page.js(SCROLLS_SIDEWAYS), "picture without a text": page.js(PICTURES_WITHOUT_A_TEXT)}
    page.js(ONE_OF_EACH_COLOUR)
    page.look()
    page.js(Path(AXE).read_text(encoding="utf-8") + "; 0")
    found["desk"] = page.js(WCAG)
    page.look(dark=True)
    found["desk, dark"] = page.js(CONTRAST)
    page.look(dark=True, **PHONE)
    found["phone, dark"] = page.js(WCAG)
    assert {where: problems for where, problems in found.items() if problems} == {}
