"""Bytes as they are, by `--encoding bytes`: a file is a document, a byte b the character U+00b.

So a text carries any bytes without loss; the byte tokenizer gives each its own id, and bits per byte are by these.
"""

from __future__ import annotations

from collections.abc import Iterator

from seqgen.sources.content import Content, Document


def read(content: Content) -> Iterator[Document]:
    """Read the whole file as one document."""
    yield Document((block.decode("latin-1") for block in content.blocks()), content.name)
