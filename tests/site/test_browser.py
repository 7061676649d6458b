"""Test the built site in a browser without network access: make docs-test.

The tests save screenshots of the main pages (wide and narrow, light and dark) in docs/_build/screenshots.
"""

import os
from pathlib import Path

import pytest
from browser import Page, served

ROOT = Path(__file__).parents[2]
HTML = ROOT / "docs" / "_build" / "html"

pytestmark = [
    pytest.mark.site,
    pytest.mark.skipif(not os.environ.get("NNSCRATCH_SITE"), reason="a check of the built site: make docs-test"),
]

SIZES = {"desk": {"width": 1300, "height": 900}, "phone": {"width": 390, "height": 844, "phone": True}}
MATHEMATICS = "derivations/lstm"
PAGES = ["index", "tutorials", "coming-from-pytorch", "glossary", "gradcheck", "performance", "in-the-browser",
         MATHEMATICS, "derivations/index", "derivations/normalisation", "derivations/one-two-one", "reference/index",
         "reference/layers", "reference/cli", "reference/generated/nnscratch.LSTM"]  # fmt: skip
NOTEBOOKS = sorted(f"notebooks/{path.stem}" for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
WITH_MATHEMATICS = [MATHEMATICS, "derivations/one-two-one", *NOTEBOOKS]


@pytest.fixture(scope="module")
def address():
    """Serve the built site on this machine and return its address."""
    with served(HTML) as address:
        yield address


@pytest.fixture(scope="module")
def page():
    page = Page(**SIZES["desk"])
    yield page
    page.close()


@pytest.mark.parametrize("size", SIZES)  # first, because it takes longest
def test_pages_fit_the_window_and_follow_the_readers_light_or_dark(address, size):
    page = Page(**SIZES[size])
    try:
        for name in ["index", "coming-from-pytorch", MATHEMATICS, "reference/generated/nnscratch.LSTM", *NOTEBOOKS]:
            page.open(f"{address}/{name}.html")
            for scheme in ("light", "dark"):
                page.prefer(scheme)
                page.screenshot(ROOT / f"docs/_build/screenshots/{name.replace('/', '-')}-{size}-{scheme}.png")
                assert page.js("document.documentElement.scrollWidth") <= SIZES[size]["width"], name
                colour = page.js("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
                assert (sum(colour) < 3 * 60) if scheme == "dark" else (sum(colour) > 3 * 200)
    finally:
        page.close()


@pytest.mark.parametrize("name", PAGES + NOTEBOOKS)
def test_a_page_opens_without_an_error_and_its_mathematics_and_pictures_are_complete(page, address, name):
    page.open(f"{address}/{name}.html")  # once for all checks, because a browser needs a second to set the mathematics
    assert page.errors == []
    assert [url for url in page.requests if not url.startswith((address, "data:"))] == []
    assert page.js("document.querySelectorAll('h1').length") == 1
    if name in WITH_MATHEMATICS:
        assert_mathematics_is_set_and_none_is_left_as_source(page, name)
    if name in NOTEBOOKS:
        assert_pictures_load_and_solutions_are_folded_away(page)


def assert_mathematics_is_set_and_none_is_left_as_source(page, name):
    assert page.js("document.querySelectorAll('.math').length") == page.js(
        "[...document.querySelectorAll('.math')].filter(e => e.querySelector('mjx-container')).length"
    )
    assert page.js("document.querySelectorAll('mjx-merror, [data-mjx-error]').length") == 0
    text = "[...document.querySelectorAll('article p, article li')].map(e => e.innerText).join(' ')"
    assert not page.js(f"/\\\\(frac|sigma|partial|mathrm)|\\$\\$/.test({text})")
    if name == MATHEMATICS:
        assert page.js("document.querySelectorAll('mjx-container').length") > 10


def assert_pictures_load_and_solutions_are_folded_away(page):
    assert page.js("document.querySelectorAll('article img').length") >= 1
    assert page.js("[...document.querySelectorAll('article img')].every(i => i.complete && i.naturalWidth > 100)")
    assert page.js("document.querySelectorAll('article details:not([open])').length") >= 2
    assert page.js("[...document.querySelectorAll('article details pre')].every(p => !p.checkVisibility())")


def test_a_solution_opens(page, address):
    if not NOTEBOOKS:
        pytest.skip("no notebook yet")
    page.open(f"{address}/{NOTEBOOKS[0]}.html")
    page.js("document.querySelector('article details:has(pre) > summary').click()")
    assert page.js("document.querySelector('article details:has(pre) pre').checkVisibility()")


def test_a_question_for_a_number_says_if_a_number_is_right(page, address):
    page.open(f"{address}/{NOTEBOOKS[1]}.html")
    form = "document.querySelector('article form.number-question')"
    assert page.js(f"{form}.nextElementSibling.matches('details.number:not([open])')")
    said = {}
    for text in ("", "x", "1/0", "0.3173", "-0.317", " -3173/10000 "):
        page.js(f"{form}.querySelector('input').value = '{text}', {form}.querySelector('button').click()")
        said[text] = page.js(f"{form}.querySelector('output').value").split(",")[0]
    assert said == dict.fromkeys(("", "x", "1/0"), "Write a number") | {
        "0.3173": "Not yet. Compute it again", "-0.317": "Right.", " -3173/10000 ": "Right."
    }  # fmt: skip
    rule = "[['2400', '2400'], ['2401', '2400'], ['3', '3.02'], ['3', '3.04'], ['0', '0']].map(p => isRight(...p))"
    assert page.js(rule) == [True, False, True, False, True]
    commas = "['1,638,400', ' +1,638,400.0', '3,276,800/2', '1,638,401', '1,5', '0,250', '1,2345', '1638,400']"
    assert page.js(f"{commas}.map(text => isRight(text, '1638400'))") == [True] * 3 + [False] + [None] * 4
    assert page.errors == []


def test_the_text_of_code_stays_the_same_when_its_lines_are_indented(page, address):
    page.open(f"{address}/{NOTEBOOKS[5]}.html")
    texts = "[...%s.querySelectorAll('article div.highlight pre')].map(e => e.textContent)"
    source = "fetch(location.href).then(r => r.text()).then(t => new DOMParser().parseFromString(t, 'text/html'))"
    assert page.js(texts % "document") == page.js(f"{source}.then(page => {texts % 'page'})")
    assert page.js("document.querySelectorAll('article pre .line').length") > 100


def test_a_search_for_lstm_finds_its_derivation_and_its_class(page, address):
    page.open(f"{address}/search.html?q=LSTM")
    page.wait("document.querySelectorAll('#search-results li a').length >= 5")
    page.wait("!document.querySelector('#search-results h2')?.innerText.includes('Searching')")
    found = page.js("[...document.querySelectorAll('#search-results li a')].map(a => a.href).join(' ')")
    for name in ("derivations/lstm.html", "nnscratch.LSTM.html", "notebooks/12_lstm_and_gru.html"):
        assert any(name in address for address in found.split()[:5])
    page.wait("!!document.querySelector('#search-results li p.context')")
    assert "\\(" not in page.js("document.querySelector('#search-results').innerText")
    assert page.errors == []


def test_on_a_phone_a_button_shows_a_picture_in_its_full_size_and_the_page_does_not_scroll(address):
    phone = Page(**SIZES["phone"])
    try:
        phone.open(f"{address}/{NOTEBOOKS[1]}.html")
        picture, width = "document.querySelector('article .picture img')", SIZES["phone"]["width"]
        assert phone.js(f"{picture}.clientWidth") <= width < phone.js(f"{picture}.naturalWidth")
        phone.js("document.querySelector('article .enlarge').click()")
        assert phone.js(f"{picture}.clientWidth >= {picture}.naturalWidth")
        assert phone.js("document.documentElement.scrollWidth") <= width
        assert phone.js(f"{picture}.parentElement.tabIndex") == 0  # the arrow keys scroll it
        phone.js("document.querySelector('article .enlarge').click()")
        assert phone.js(f"{picture}.clientWidth") <= width
        code = "[...document.querySelectorAll('article pre')]"
        assert phone.js(f"{code}.filter(e => e.scrollWidth > e.clientWidth).map(e => e.textContent)") == []  # it wraps
    finally:
        phone.close()
