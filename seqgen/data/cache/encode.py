"""Stored text -> ids, in shards: a shard's ids depend on nothing outside of it.

A text is cut into shards where cutting changes no id: at the ends of parts, and within a long part after a newline that
no white space follows, or not at all. So the ids are the same whoever encodes which shard, and a process that was
killed goes on after the last whole one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from seqgen.config import Config
from seqgen.data.cache.cached_text import OFFSET, CachedText, Offsets, Span
from seqgen.tokenizers.base import Tokenizer, line_cut
from seqgen.tokenizers.normalization import last_boundary

SHARD = 1 << 22
"""Bytes of text in a shard: less than a second's work, and enough that handing it over costs nothing."""
FLUSH = 1 << 18
"""Ids that are handed over at once."""
WINDOW = 1 << 16


@dataclass(frozen=True)
class Shard:
    """From byte `start` in part `first` to byte `stop` in part `last`."""

    first: int
    start: int
    last: int
    stop: int

    def ranges(self, parts: Offsets) -> Offsets:
        """The byte ranges of the shard, int64 [N, 2]."""
        ranges = np.array(parts[self.first : self.last + 1])
        ranges[0, 0], ranges[-1, 1] = self.start, self.stop
        return ranges


class Counts(Config):
    """What has been encoded; `unk_cost` is what it costs to spell the unknown pieces."""

    tokens: int = 0
    characters: int = 0
    bytes: int = 0
    documents: int = 0
    unknown: int = 0
    unk_cost: float = 0.0
    changed: int = 0
    """Characters that the tokenizer's normalization changes for good."""

    def plus(self, other: Counts) -> Counts:
        """Both together."""
        pairs = [(name, getattr(self, name) + getattr(other, name)) for name in type(self).model_fields]
        return Counts(**dict(pairs))


@dataclass(frozen=True)
class Encoded:
    """Some ids in a row: [N], the places among them where parts begin, and what they stand for."""

    ids: npt.NDArray[Any]
    starts: Offsets
    counts: Counts


def plan_shards(span: Span) -> list[Shard]:
    """All parts in shards of about `SHARD` bytes."""
    text, parts = span.text, span.ranges
    ends = np.cumsum(parts[:, 1] - parts[:, 0])
    shards, part, start = [], 0, int(parts[0, 0]) if len(parts) else 0
    while part < len(parts):
        stop = int(parts[part, 1])
        cut = _cut_after(text, start + SHARD, stop)
        if cut < stop:
            shards.append(Shard(part, start, part, cut))
            start = cut
            continue
        done = int(ends[part]) - (stop - start)
        last = max(part, int(np.searchsorted(ends, done + SHARD, side="right")) - 1)
        shards.append(Shard(part, start, last, int(parts[last, 1])))
        part = last + 1
        start = int(parts[part, 0]) if part < len(parts) else stop
    return shards


def _cut_after(text: CachedText, position: int, stop: int) -> int:
    """The first place from `position` on that follows a newline and is no white space; `stop` if there is none."""
    while position < stop:
        window = text.bytes_at(position, min(WINDOW, stop - position) + 4)
        newline = window.find(b"\n", 0, WINDOW)
        while newline >= 0:
            character = window[newline + 1 : newline + 5].decode("utf-8", "ignore")[:1]
            if position + newline + 1 < stop and character and not character.isspace():
                return position + newline + 1
            newline = window.find(b"\n", newline + 1, WINDOW)
        position += WINDOW
    return stop


def encode_portion(
    span: Span, tokenizer: Tokenizer, dtype: npt.DTypeLike, *, goes_on: bool, spell: bool
) -> Iterator[Encoded]:
    """The ids of a text's parts, `FLUSH` at a time.

    Args:
        span: the parts.
        tokenizer: what encodes them.
        dtype: of the ids.
        goes_on: the first range is what is left of a part.
        spell: count what it costs to spell unknown pieces.
    """
    held: list[npt.NDArray[Any]] = []
    starts: list[int] = []
    tokens = characters = size = unknown = changed = 0
    spelling, latest = 0.0, 0 if goes_on else -1

    def put_together() -> Encoded:
        counts = Counts(
            tokens=tokens, characters=characters, bytes=size, documents=len(starts), unknown=unknown,
            unk_cost=spelling, changed=changed,
        )  # fmt: skip
        return Encoded(np.concatenate(held), np.array(starts, dtype=OFFSET), counts)

    for number, piece in regroup(span.chunks(), tokenizer.split_point):
        if number != latest:
            starts.append(tokens)
            latest = number
        ids = tokenizer.encode(piece)
        held.append(ids.astype(dtype))
        tokens, characters, size = tokens + len(ids), characters + len(piece), size + tokenizer.byte_length(piece)
        changed += tokenizer.changed_characters(piece)
        if tokenizer.unknown_id is not None and (there := int((ids == tokenizer.unknown_id).sum())):
            unknown += there
            spelling += _spelling(piece, tokenizer) if spell else 0.0
        if tokens >= FLUSH:
            yield put_together()
            held, starts = [], []
            tokens = characters = size = unknown = changed = 0
            spelling = 0.0
    if held:
        yield put_together()


def _spelling(piece: str, tokenizer: Tokenizer) -> float:
    return math.fsum(count * tokenizer.unk_cost(one) for one, count in tokenizer.unknown(piece).items())


def regroup(chunks: Iterable[tuple[int, str]], cut: Callable[[str], int]) -> Iterator[tuple[int, str]]:
    """Chunks of parts as longer or shorter ones that end where `cut`, told the text so far, finds a place to cut it."""
    held, latest = "", -1
    for number, chunk in chunks:
        place = 0 if not held else cut(held) if number == latest else len(held)
        if place:
            yield latest, held[:place]
            held = held[place:]
        held, latest = held + chunk, number
    if held:
        yield latest, held


def training_chunks(span: Span) -> Iterator[str]:
    """The text of parts, a megabyte at a time, in whole lines wherever there are any: to train a tokenizer on."""
    for _, chunk in regroup(span.chunks(), lambda held: line_cut(held) or last_boundary(held) or len(held)):
        yield chunk
