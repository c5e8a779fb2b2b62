"""Texts in a cache of their own, for tests that are about what is done with them."""

from __future__ import annotations

import itertools
from pathlib import Path

from seqgen.data.cache.cached_text import CachedText, write_text
from seqgen.sources.config import Reading

_number = itertools.count()


def cache_text(folder: Path, *documents: str) -> CachedText:
    """The documents, a file each, as a stored text."""
    place = folder / f"text-{next(_number)}"
    place.mkdir()
    names = []
    for number, document in enumerate(documents):
        path = place / f"{number:04}.txt"
        path.write_text(document, encoding="utf-8", newline="")
        names.append(str(path))
    write_text(names, Reading(), place / "stored")
    return CachedText(place / "stored")
