"""Cut plain text into documents: its lines, or the paragraphs between blank lines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter

from seqgen.sources.config import END_BYTES, Unit
from seqgen.sources.content import Document, ReadIssues

_LINE_END = re.compile(r"(\r\n|\n|\r)")


def cut_documents(chunks: Iterable[str], unit: Unit, name: str, issues: ReadIssues) -> Iterator[Document]:
    """Yield the documents of a text that comes in chunks, in memory bounded by a chunk and the longest white space.

    A document has its line ends as they are, but the last one. A line is blank if it has nothing but white space. Blank
    lines that separate no documents are counted in `issues`.

    Args:
        chunks: the text.
        unit: what a document is.
        name: of the text, for messages.
        issues: counts the blank lines that are skipped.
    """
    if unit == "file":
        yield Document(iter(chunks), name)
        return
    for line, pieces in groupby(_pieces(chunks, unit, issues), key=itemgetter(0)):
        place = f"the document on line {line:,} of {name}"
        yield Document(map(itemgetter(1), pieces), place, end_bytes=END_BYTES[unit])


def _pieces(chunks: Iterable[str], unit: Unit, issues: ReadIssues) -> Iterator[tuple[int, str]]:
    """Yield pieces of documents, each with the number of the line on which its document begins."""
    first, number = 1, 1  # the line on which the document begins, and the line that is read
    in_document = in_line = False  # whether a document, and text other than white space in a line, has begun
    line_end, blank = "", list[str]()  # what has been read and belongs to the document only if more of it follows
    for text, end in _lines(chunks):
        if text and (in_line or not text.isspace()):
            if not in_document:
                first = number
            yield first, "".join((line_end, *blank, text))
            in_document, in_line, line_end, blank = True, True, "", []
        elif text:
            blank.append(text)
        if not end:
            continue
        issues.empty += not in_document
        in_document = in_line and unit == "paragraph"
        in_line, line_end, blank, number = False, end if in_document else "", [], number + 1
    issues.empty += bool(blank)


def _lines(chunks: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the lines of a text in pieces: text, and the line end that follows it, empty within a line."""
    held = ""
    for chunk in chunks:
        known = held + chunk
        held = "\r" if known.endswith("\r") else ""  # the LF of a CRLF may come next
        parts = _LINE_END.split(known[: len(known) - len(held)])
        yield from zip(parts[::2], [*parts[1::2], ""], strict=True)
    if held:
        yield "", held
