"""Encode a span of a cached text: ids and counts, in bounded memory, whole or in shards. No torch.

A span is cut into shards only where that changes no id: at the ends of its ranges, and within a long range after a
newline that no white space follows. So the ids are the same in one process as in several.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from seqgen.config import Config
from seqgen.data.cache.cached_text import OFFSET_DTYPE, CachedText, Offsets, Span
from seqgen.sources.decoding import CHUNK_BYTES
from seqgen.tokenizers.base import Tokenizer, line_split_point
from seqgen.tokenizers.normalization import last_normalization_boundary

SEARCH_BYTES = 1 << 16
"""Bytes in which a newline is looked for at once."""


class Counts(Config):
    """What has been encoded; `unk_cost` is what it costs to spell the unknown pieces.

    `tokens` are ids, without ends; characters and bytes include the line ends after lines and paragraphs that are
    documents.
    """

    tokens: int = 0
    characters: int = 0
    bytes: int = 0
    documents: int = 0
    unknown: int = 0
    unk_cost: float = 0.0
    changed: int = 0
    """Characters that the tokenizer's normalization changes for good."""

    def plus(self, other: Counts) -> Counts:
        """Return the sums of both."""
        return Counts(**{name: getattr(self, name) + getattr(other, name) for name in type(self).model_fields})


@dataclass(frozen=True)
class Shard:
    """Part of a span: its byte ranges, int64 [N, 2]; with `continued`, the first is the rest of a range cut before."""

    ranges: Offsets
    continued: bool = False


def plan_shards(span: Span, size: int) -> list[Shard]:
    """Cut a span into shards of about `size` bytes."""
    ranges = span.ranges
    ends = np.cumsum(ranges[:, 1] - ranges[:, 0])
    shards, number, start = [], 0, int(ranges[0, 0]) if len(ranges) else 0
    while number < len(ranges):
        continued, stop = start > int(ranges[number, 0]), int(ranges[number, 1])
        cut = _cut_after(span.text, start + size, stop)
        if cut < stop:
            shards.append(Shard(np.array([[start, cut]]), continued))
            start = cut
            continue
        done = int(ends[number]) - (stop - start)
        last = max(number, int(np.searchsorted(ends, done + size, side="right")) - 1)
        shard = np.array(ranges[number : last + 1])
        shard[0, 0] = start
        shards.append(Shard(shard, continued))
        number = last + 1
        start = int(ranges[number, 0]) if number < len(ranges) else stop
    return shards


def _cut_after(text: CachedText, position: int, stop: int) -> int:
    """Return the first place from `position` on that follows a newline and is not white space, or `stop`."""
    while position < stop:
        window = text.bytes_at(position, min(SEARCH_BYTES, stop - position) + 4)
        newline = window.find(b"\n", 0, SEARCH_BYTES)
        while newline >= 0:
            character = window[newline + 1 : newline + 5].decode("utf-8", "ignore")[:1]
            if position + newline + 1 < stop and character and not character.isspace():
                return position + newline + 1
            newline = window.find(b"\n", newline + 1, SEARCH_BYTES)
        position += SEARCH_BYTES
    return stop


@dataclass
class IdsFiles:
    """The open files of encoded documents: their ids, and where each begins among all ids."""

    ids: BinaryIO
    starts: BinaryIO
    dtype: npt.DTypeLike
    tokens: int = 0
    """Ids that were written."""


def encode_span(
    span: Span,
    tokenizer: Tokenizer,
    files: IdsFiles,
    *,
    continued: bool = False,
    spell: bool = False,
    watch: Callable[[int], None] = lambda _: None,
) -> Counts:
    """Encode each range of a span as a document, append the ids to `files`, and return what was counted.

    Args:
        span: the text.
        tokenizer: what encodes it.
        files: where to write.
        continued: the first range is the rest of a document that has begun.
        spell: count what it costs to spell unknown pieces.
        watch: receives how many bytes of UTF-8 were encoded since its last call, about a megabyte at a time.
    """
    begin = files.tokens
    characters = size = documents = unknown = changed = unwatched = 0
    unk_cost, latest = 0.0, 0 if continued else -1
    for number, chunk in span.chunks_split_at(tokenizer.split_point):
        if number != latest:
            files.starts.write(files.tokens.to_bytes(OFFSET_DTYPE.itemsize, "little"))
            documents, latest = documents + 1, number
        ids = tokenizer.encode(chunk)
        files.ids.write(ids.astype(files.dtype).tobytes())
        files.tokens, characters = files.tokens + len(ids), characters + len(chunk)
        size += tokenizer.byte_length(chunk)
        changed += tokenizer.changed_characters(chunk)
        if tokenizer.unknown_id is not None and (found := int((ids == tokenizer.unknown_id).sum())):
            unknown += found
            unk_cost += _unk_cost(chunk, tokenizer) if spell else 0.0
        unwatched += len(chunk.encode())
        if unwatched >= CHUNK_BYTES:
            watch(unwatched)
            unwatched = 0
    watch(unwatched)
    return Counts(
        tokens=files.tokens - begin, characters=characters, bytes=size, documents=documents, unknown=unknown,
        unk_cost=unk_cost, changed=changed,
    )  # fmt: skip


def _unk_cost(text: str, tokenizer: Tokenizer) -> float:
    return math.fsum(count * tokenizer.unk_cost(piece) for piece, count in tokenizer.unknown(text).items())


def training_chunks(span: Span) -> Iterator[str]:
    """Yield the text to train a tokenizer on, a megabyte at a time, in whole lines wherever there are any."""

    def split_point(held: str) -> int:
        return line_split_point(held) or last_normalization_boundary(held) or len(held)

    for _, chunk in span.chunks_split_at(split_point):
        yield chunk
