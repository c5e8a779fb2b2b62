"""What a file's suffix says of how it is read. One file a format, one signature: `read(content) -> documents`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from seqgen.sources.content import Content, Document
from seqgen.sources.formats import archive, csv, epub, html, json_array, json_lines, plain, raw

Format: TypeAlias = Callable[[Content], Iterator[Document]]

RECORDS: dict[str, Format] = {
    ".jsonl": json_lines.read,
    ".ndjson": json_lines.read,
    ".json": json_array.read,
    ".csv": csv.read,
    ".tsv": csv.read,
}
"""Many documents a file: `--field` names the one of each record, `--on-bad-line` says what to do without."""

BOOKS: dict[str, Format] = {".html": html.read, ".htm": html.read, ".xhtml": html.read, ".epub": epub.read}
"""One document a file, its markup left out."""

ARCHIVES: dict[str, Format] = {".zip": archive.read, ".tar": archive.read}
"""Many files a file: read as folders."""

FORMATS: dict[str, Format] = RECORDS | BOOKS | ARCHIVES

IN_ANY_ORDER = frozenset([".epub", *ARCHIVES])
"""What is not read from its beginning to its end, so that no pipe can be one."""


def read(content: Content) -> Iterator[Document]:
    """Read the documents of a file, by its suffix; plain text is what has none of these."""
    if content.reading.is_raw and content.suffix not in ARCHIVES:
        return raw.read(content)
    return FORMATS.get(content.suffix, plain.read)(content)
