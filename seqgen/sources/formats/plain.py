"""Read plain text: a file is a document."""

from __future__ import annotations

from collections.abc import Iterator

from seqgen.sources.content import Content, Document


def read(content: Content) -> Iterator[Document]:
    """Read the whole file as one document."""
    yield Document(content.text(), content.name)
