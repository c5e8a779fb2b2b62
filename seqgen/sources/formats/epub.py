"""Read EPUB books: the text of the chapters in reading order, as one document.

A book is a ZIP file of XHTML. The HTML parser reads its lists of chapters too, so no XML entity is expanded.
"""

from __future__ import annotations

import contextlib
import posixpath
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import PurePosixPath
from urllib.parse import unquote

from seqgen.errors import TextError
from seqgen.sources.content import Content, Document
from seqgen.sources.decoding import CHUNK_BYTES, TextDecoder
from seqgen.sources.formats.archive import Member, as_path, naming_damage, open_zip
from seqgen.sources.formats.html import shown_text

CONTAINER, ENCRYPTION = PurePosixPath("META-INF/container.xml"), PurePosixPath("META-INF/encryption.xml")
MAX_LIST_BYTES = 1 << 24
"""The largest size of a list of files, which is read whole."""
_PAGES = {"application/xhtml+xml", "text/html"}


def read(content: Content) -> Iterator[Document]:
    """Read the book as one document, with an empty line between chapters.

    Raises:
        TextError: the book is damaged, protected, above a limit of archives, or has no chapters.
    """
    with contextlib.ExitStack() as stack:
        with naming_damage(content.name):
            members = {member.path: member for member in open_zip(content, stack)}
            if any(member.encrypted for member in members.values()):
                raise TextError(f"{content.name} is encrypted; create it again without a password")
            chapters = _chapters(members, content.name)
        yield Document(_text(chapters, content.name), content.name)


def _text(chapters: list[Member], name: str) -> Iterator[str]:
    begun = False
    for chapter in chapters:
        before = "\n" if begun else ""
        for chunk in filter(None, shown_text(_decoded(chapter, f"{name}/{chapter.path}"))):
            yield before + chunk
            before, begun = "", True


def _decoded(chapter: Member, place: str) -> Iterator[str]:
    """Yield the text of a page, in UTF-8 or in UTF-16 with a byte order mark; EPUB has no other encodings."""
    with naming_damage(place), chapter.open() as file:
        block = file.read(CHUNK_BYTES)
        encoding = "utf-16" if block[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8"
        decoder = TextDecoder(encoding, "strict", place)
        while block:
            yield decoder.push(block)
            block = file.read(CHUNK_BYTES)
        yield decoder.push(b"", final=True)


def _chapters(members: dict[PurePosixPath, Member], name: str) -> list[Member]:
    """Return the pages of the book in reading order."""
    container = _listed(members, CONTAINER, name)
    package = next((attributes.get("full-path", "") for tag, attributes in container if tag == "rootfile"), "")
    listed = _listed(members, as_path(package), name)
    folder = posixpath.dirname(package)
    items = {attributes["id"]: attributes for tag, attributes in listed if tag == "item" and "id" in attributes}
    order = [attributes.get("idref", "") for tag, attributes in listed if tag == "itemref"]
    lost = next((idref for idref in order if idref not in items), None)
    if lost is not None:
        raise TextError(f"{name} lists the chapter {lost!r}, but has no such file; it is damaged")
    spine = [items[idref] for idref in order]
    paths = [
        as_path(posixpath.normpath(posixpath.join(folder, unquote(item.get("href", "")))))
        for item in spine
        if item.get("media-type") in _PAGES and "nav" not in item.get("properties", "").split()
    ]
    missing = next((path for path in paths if path not in members), None)
    if not paths or missing is not None:
        what = "lists no chapters" if missing is None else f"lists the chapter {missing}, which is missing"
        raise TextError(f"{name} {what}; it is damaged, or not an EPUB book")
    if ENCRYPTION in members:
        hidden = {attributes.get("uri", "") for tag, attributes in _listed(members, ENCRYPTION, name)
                  if tag == "cipherreference"}  # fmt: skip
        if hidden & set(map(str, paths)):  # encrypted fonts do no harm
            raise TextError(f"{name} is protected by DRM: its chapters are encrypted")
    return [members[path] for path in paths]


def _listed(members: dict[PurePosixPath, Member], path: PurePosixPath, name: str) -> list[tuple[str, dict[str, str]]]:
    """Return the elements of an XML file of the book: lower-case names without prefix, and attributes."""
    member = members.get(path)
    if member is None or member.size > MAX_LIST_BYTES:
        raise TextError(f"{name} has no usable {path if path.parts else 'package'}; it is damaged, or not an EPUB book")
    with member.open() as file:
        parser = _Elements()
        parser.feed(TextDecoder("utf-8", "replace", f"{name}/{path}").push(file.read(), final=True))
    return parser.found


class _Elements(HTMLParser):
    """Collect the elements of an XML file."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag.rpartition(":")[2], {name: value or "" for name, value in attrs}))
