"""Read HTML: the text that a page shows, without scripts and styles.

An empty line separates paragraphs; other white space becomes one space. The parser of the standard library expands no
entities except the named characters of HTML, and downloads nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from html import unescape
from html.parser import HTMLParser

from seqgen.sources.content import Content, Document

MAX_MARKUP = 1 << 24
"""The number of characters after which a tag, comment or script without an end is read as text."""
_WITHOUT_TEXT = frozenset(["script", "style", "title", "template", "noscript"])
_PARAGRAPHS = frozenset(
    ["address", "article", "aside", "blockquote", "body", "dl", "fieldset", "figure", "footer", "form", "h1", "h2",
     "h3", "h4", "h5", "h6", "header", "hr", "main", "nav", "ol", "p", "pre", "section", "table", "ul"]
)  # fmt: skip
"""Elements with an empty line before and after them."""
_LINES = frozenset(["br", "caption", "dd", "div", "dt", "figcaption", "legend", "li", "option", "tr"])
"""Elements with a line break before and after them."""
_SPACE = re.compile(r"[ \t\n\r\f]+")  # in HTML a no-break space is not white space


def read(content: Content) -> Iterator[Document]:
    """Read the page as one document."""
    yield Document(shown_text(content.text()), content.name)


def shown_text(chunks: Iterable[str]) -> Iterator[str]:
    """Yield the text of a page that comes in chunks."""
    page = _Page()
    for chunk in chunks:
        page.feed(chunk)
        if len(page.rawdata) > MAX_MARKUP:
            page.end_markup()
        if text := page.take():
            yield text
    page.end_markup()
    yield page.take() + ("\n" if page.has_text else "")


class _Page(HTMLParser):
    """Collect the shown text of a page while it is parsed."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.has_text = False
        self._made: list[str] = []
        self._in_prolog = False
        """Whether the parser is in a DOCTYPE with entity declarations, whose end it would report as text."""
        self._without: list[str] = []
        """The open elements without shown text."""
        self._kept = 0
        """The number of open elements whose white space is kept."""
        self._break = 0
        """The number of newlines before the next text."""
        self._space = False
        """Whether a space comes before the next text."""

    def take(self) -> str:
        """Return the text since the last call."""
        text, self._made = "".join(self._made), []
        return text

    def end_markup(self) -> None:
        """Read markup without an end as text; `close` would parse the rest again at each `<`."""
        text, self.rawdata = self.rawdata, ""
        self.handle_data(unescape(text))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        self._in_prolog = False
        if tag in _WITHOUT_TEXT:
            self._without.append(tag)
        elif tag == "br" and self._break:
            self._break = 2
        elif tag in {"td", "th"}:
            self._put_between_cells()
        self._break_at(tag)
        self._kept += tag == "pre"

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _WITHOUT_TEXT:  # such as <script/> in XHTML
            self.handle_starttag(tag, attrs)
            self._kept -= tag == "pre"

    def handle_endtag(self, tag: str) -> None:
        if tag in self._without:
            del self._without[self._without.index(tag) :]
        self._break_at(tag)
        self._kept = max(0, self._kept - (tag == "pre"))

    def handle_data(self, data: str) -> None:
        if self._without or self._in_prolog:
            return
        if self._kept:
            if data:
                self._put(data)
            return
        text = _SPACE.sub(" ", data)
        if text.strip(" "):
            self._space |= text.startswith(" ")
            self._put(text.strip(" "))
            self._space = text.endswith(" ")
        elif text:
            self._space = True

    def handle_decl(self, decl: str) -> None:
        self._in_prolog = "[" in decl

    def parse_marked_section(self, i: int, report: bool = True) -> int:
        """Read an unknown section such as `<![a;` as a comment; the parser of Python 3.11 raises AssertionError."""
        try:
            return super().parse_marked_section(i, report)
        except AssertionError:
            return self.parse_bogus_comment(i)

    def unknown_decl(self, data: str) -> None:
        if data.startswith("CDATA["):  # in XHTML
            self.handle_data(data.removeprefix("CDATA["))

    def _break_at(self, tag: str) -> None:
        if tag in _PARAGRAPHS or tag in _LINES:
            self._break = max(self._break, 2 if tag in _PARAGRAPHS else 1)
            self._space = False

    def _put_between_cells(self) -> None:
        if self.has_text and not self._break:
            self._made.append("\t")
            self._space = False

    def _put(self, text: str) -> None:
        if self.has_text:
            self._made.append("\n" * self._break or " " * self._space)
        self._made.append(text)
        self.has_text, self._break, self._space = True, 0, False
