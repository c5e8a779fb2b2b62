"""Choose a format by the suffix of a file. Each format is a module with `read(content) -> documents`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from seqgen.sources.content import Content, Document
from seqgen.sources.formats import archive, csv, epub, html, json_array, json_lines, pairs, plain, raw

Format: TypeAlias = Callable[[Content], Iterator[Document]]

RECORDS: dict[str, Format] = {
    ".jsonl": json_lines.read,
    ".ndjson": json_lines.read,
    ".json": json_array.read,
    ".csv": csv.read,
    ".tsv": csv.read,
}
"""Formats with many documents per file: `--field` names the text of a record, `--on-bad-line` skips bad ones."""

BOOKS: dict[str, Format] = {".html": html.read, ".htm": html.read, ".xhtml": html.read, ".epub": epub.read}
"""Formats with one document per file, read without its markup."""

ARCHIVES: dict[str, Format] = {".zip": archive.read, ".tar": archive.read}
"""Formats that are read like folders."""

FORMATS: dict[str, Format] = RECORDS | BOOKS | ARCHIVES

SEEKING = frozenset([".epub", *ARCHIVES])
"""Formats that are not read from beginning to end, and so not from a pipe."""


def read(content: Content) -> Iterator[Document]:
    """Read the documents of a file by its suffix; without a known suffix it is plain text."""
    if content.reading.is_raw and content.suffix not in ARCHIVES:
        return raw.read(content)
    if content.reading.has_pairs and content.suffix not in ARCHIVES:
        return pairs.read(content)
    return FORMATS.get(content.suffix, plain.read)(content)
