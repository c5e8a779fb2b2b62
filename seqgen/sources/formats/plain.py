"""Read plain text: a file is a document, or each of its lines or paragraphs."""

from __future__ import annotations

from collections.abc import Iterator

from seqgen.sources.content import Content, Document
from seqgen.sources.documents import cut_documents


def read(content: Content) -> Iterator[Document]:
    """Read the whole file as one document, or cut it."""
    return cut_documents(content.text(), content.reading.documents, content.name, content.issues)
