"""Test that every internal link of the built site leads to an existing page and an existing place on it."""

import os
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

HTML = Path(__file__).parents[2] / "docs" / "_build" / "html"
pytestmark = [
    pytest.mark.site,
    pytest.mark.skipif(not os.environ.get("NNSCRATCH_SITE"), reason="a check of the built site: make docs-test"),
]


class Links(HTMLParser):
    """The ids of a page, and the targets of its links."""

    def __init__(self, page):
        super().__init__()
        self.ids, self.targets = set(), set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.ids.update(filter(None, (given.get("id"), given.get("name"))))
        self.targets.update(filter(None, (given.get("href"), given.get("src"))))


def test_every_link_within_the_site_leads_to_a_page_and_a_place_on_it():
    pages = {page: Links(page) for page in HTML.rglob("*.html")}
    assert len(pages) > 100
    broken = []
    for page, links in pages.items():
        for target in links.targets:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            there = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            if there.is_dir():
                there /= "index.html"
            if (
                not there.exists()
                or parts.fragment
                and there in pages
                and unquote(parts.fragment) not in pages[there].ids
            ):
                broken.append(f"{page.relative_to(HTML)}: {target}")
    assert broken == []


def test_nothing_on_a_page_is_loaded_from_elsewhere():
    for page in HTML.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert "cdn." not in text.split("</head>")[0], page


def test_no_page_is_larger_than_a_megabyte():
    assert [str(path) for path in HTML.rglob("*.html") if path.stat().st_size > 1_000_000] == []


def test_a_part_that_other_pages_include_is_not_a_page():
    sources = [path.relative_to(HTML.parents[1]) for path in HTML.parents[1].rglob("_*.md")]
    assert len(sources) > 5
    assert [str(path) for path in sources if (HTML / path).with_suffix(".html").exists()] == []
