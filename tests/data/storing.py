"""Texts in a store of their own, for tests that are about what is done with them."""

from __future__ import annotations

import itertools
from pathlib import Path

from seqgen.data.cache.stored_text import StoredText, write_text
from seqgen.sources.config import Reading

_number = itertools.count()


def store_text(folder: Path, *documents: str) -> StoredText:
    """The documents, a file each, as a stored text."""
    place = folder / f"text-{next(_number)}"
    place.mkdir()
    names = []
    for number, document in enumerate(documents):
        path = place / f"{number:04}.txt"
        path.write_text(document, encoding="utf-8", newline="")
        names.append(str(path))
    write_text(names, Reading(), place / "stored")
    return StoredText(place / "stored")
