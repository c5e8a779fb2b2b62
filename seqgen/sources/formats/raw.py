"""Read bytes unchanged, with `--encoding bytes`: a file is a document, and byte b is the character U+00b.

So a text holds any bytes without loss; the byte tokenizer gives each byte an id, and bits per byte count these bytes.
"""

from __future__ import annotations

from collections.abc import Iterator

from seqgen.sources.content import Content, Document


def read(content: Content) -> Iterator[Document]:
    """Read the whole file as one document."""
    yield Document((block.decode("latin-1") for block in content.blocks()), content.name)
