"""Make cached texts, for tests of what is done with them."""

from __future__ import annotations

import itertools
from pathlib import Path

from seqgen.data.cache.cache import Cache
from seqgen.data.cache.cached_ids import CachedIds
from seqgen.data.cache.cached_text import CachedText
from seqgen.data.cache.write_text import write_text
from seqgen.data.config import DataConfig
from seqgen.data.split import split_text
from seqgen.sources.config import Reading
from seqgen.tokenizers.base import Tokenizer
from seqgen.tokenizers.config import TokenizerConfig

_number = itertools.count()


def cache_text(folder: Path, *documents: str) -> CachedText:
    """Return the documents, a file each, as a cached text."""
    place = folder / f"text-{next(_number)}"
    place.mkdir()
    names = []
    for number, document in enumerate(documents):
        path = place / f"{number:04}.txt"
        path.write_text(document, encoding="utf-8", newline="")
        names.append(str(path))
    write_text(names, Reading(), place / "cached")
    return CachedText(place / "cached")


def prepare(
    cache: Cache, config: TokenizerConfig | None = None, **settings: object
) -> tuple[CachedText, Tokenizer, CachedIds]:
    """Return the text, the tokenizer and the ids of some settings."""
    data = DataConfig.of(**settings)
    text = cache.text(data.text, data)
    split = split_text(text, data)
    tokenizer = cache.tokenizer(split, data, config or TokenizerConfig())
    return text, tokenizer, cache.ids(split, data, tokenizer)


def as_lists(ids: CachedIds) -> list[list[int]]:
    """Return the ids of each document, training documents first."""
    return [document.tolist() for document in (*ids.train, *ids.valid)]
