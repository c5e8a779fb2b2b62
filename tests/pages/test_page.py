from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest

from seqgen.errors import SaveError
from seqgen.pages.page import LARGEST_DATA, escape_json, make_page

HOSTILE = [
    "</script><script>alert(1)</script>",
    "<!-- <script>",
    "]]>",
    "a\u2028b\u2029c\r\n\0\x85",
    "👩‍👩‍👧 🇰🇷",
    "مرحبا \u202eabc",
    "$title ${data} &lt; \\u003c",
]


class _Reader(HTMLParser):
    """Collect the text of every element that holds a script or a style, and the attributes of every tag."""

    def __init__(self, html: str):
        super().__init__()
        self.blocks: dict[str, str] = {}
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._current = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._current = dict(attributes).get("type") or tag

    def handle_endtag(self, tag):
        self._current = ""

    def handle_data(self, data):
        if self._current in {"style", "script", "application/json", "title", "h1"}:
            self.blocks[self._current] = self.blocks.get(self._current, "") + data


def _page(data, title="A title"):
    return _Reader(make_page("attention", title, data))


@pytest.mark.parametrize("text", HOSTILE)
def test_make_page_keeps_hostile_data_and_titles(text):
    page, plain = _page([text], title=text), _page(["plain"])

    assert json.loads(page.blocks["application/json"]) == [text]
    assert page.blocks["h1"] == page.blocks["title"] == text
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in plain.tags]


def test_make_page_writes_lone_surrogates_as_replacement_characters():
    page = make_page("attention", "\ud800", ["a\udc80"])

    assert json.loads(_Reader(page).blocks["application/json"]) == ["a\ufffd"]
    assert page.encode("utf-8")


def test_escape_json_has_no_less_than_sign_and_refuses_nan():
    assert escape_json({"<": ["</a>", 0.5]}) == r'{"\u003c":["\u003c/a>",0.5]}'
    with pytest.raises(ValueError, match="JSON"):
        escape_json([float("nan")])


def test_make_page_allows_only_its_own_style_and_script():
    page = _page([])
    (policy,) = [attributes["content"] for _, attributes in page.tags if "http-equiv" in attributes]
    rules = dict(rule.split(maxsplit=1) for rule in policy.split("; "))

    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert len(rules) == 5
    for kind in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(page.blocks[kind].encode()).digest()).decode()
        assert rules[f"{kind}-src"] == f"'sha256-{digest}'"


def test_make_page_has_no_address_and_no_inline_handlers():
    page = _page([])

    assert not {"src", "href", "style", "onclick"} & {name for _, attributes in page.tags for name in attributes}
    assert not re.search(r"https?:|url\(|@import", page.blocks["style"] + page.blocks["script"])


def test_make_page_refuses_more_data_than_a_page_holds():
    largest = "가" * ((LARGEST_DATA - 2) // 3)

    assert largest in make_page("attention", "title", largest)
    with pytest.raises(SaveError, match="title"):
        make_page("attention", "title", largest + "가")
