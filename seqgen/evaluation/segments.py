"""Cut documents into segments, and put the segments into lanes, the rows of a batch. No torch.

A segment reads its document from `begin`, is scored from `score`, and ends at `end`; the tokens from `begin` to `score`
only warm up its state (burn-in). Streams, parallel segments with burn-in and overlapping windows differ only in how
these three are chosen. A segment that begins with its document begins with id 0, which clears the state, so it may
follow another in a lane; a segment that begins inside its document may only be the first of its lane.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Self, TypeAlias

import numpy as np
import numpy.typing as npt

from seqgen.data.documents import Documents

Integers: TypeAlias = npt.NDArray[np.int64]
Booleans: TypeAlias = npt.NDArray[np.bool_]

LANES = 64
"""Rows of a batch, and so the segments that a long text is cut into."""
MIN_SEGMENT = 512
"""Scored tokens of a segment: in shorter ones burn-in would be most of the work."""


@dataclass(frozen=True)
class Segments:
    """Parts of documents, [N] each: tokens [begin, end) are read, those from `score` on are scored.

    With `ends`, id 0 is scored as the target after the token before `end`.
    """

    document: Integers
    begin: Integers
    score: Integers
    end: Integers
    ends: Booleans

    def __len__(self) -> int:
        return len(self.document)

    @property
    def steps(self) -> Integers:
        """How many ids the model reads for each."""
        steps: Integers = self.end - self.begin + self.ends
        return steps

    def take(self, index: Integers) -> Self:
        """Return the segments with these numbers, in this order."""
        return type(self)(*(getattr(self, field.name)[index] for field in fields(self)))


def stream_segments(documents: Documents, burn_in: int, lanes: int = LANES) -> Segments:
    """Cut longer documents into segments, each with burn-in on the tokens before it; keep the others whole."""
    lengths = documents.lengths
    longest = max(MIN_SEGMENT, -(-int(lengths.sum()) // lanes))
    parts = -(-lengths // longest) if lanes > 1 else np.ones_like(lengths)
    document, part = _number(parts)
    length, cuts = lengths[document], parts[document]
    score = length * part // cuts
    return _segments(documents, document, np.maximum(0, score - burn_in), score, length * (part + 1) // cuts)


def window_segments(documents: Documents, context_window: int, stride: int) -> Segments:
    """Cut documents into windows of `context_window` tokens at every `stride`; each scores the tokens new in it."""
    lengths = documents.lengths
    document, part = _number(1 + np.maximum(0, -(-(lengths - context_window) // stride)))
    begin = part * stride
    score = np.where(part > 0, begin + context_window - stride, 0)
    return _segments(documents, document, begin, score, np.minimum(begin + context_window, lengths[document]))


def _number(parts: Integers) -> tuple[Integers, Integers]:
    """Return the document of each part, and its number in the document."""
    document = np.repeat(np.arange(len(parts)), parts)
    return document, np.arange(len(document)) - np.repeat(np.cumsum(parts) - parts, parts)


def _segments(documents: Documents, document: Integers, begin: Integers, score: Integers, stop: Integers) -> Segments:
    """Return segments of targets up to `stop`, of which the last of a document may be its end."""
    ends = documents.ends[document] & (stop == documents.lengths[document])
    return Segments(document, begin, score, stop - ends, ends)


@dataclass(frozen=True)
class Lanes:
    """Up to `LANES` rows of segments one after another, longest row first."""

    segments: Segments
    """In the order of the columns at which they begin."""
    row: Integers
    """The row of each segment."""
    column: Integers
    """The column at which each segment begins."""
    lengths: Integers
    """The columns of each row, descending."""

    def running(self, column: int) -> int:
        """Return how many rows have not ended before `column`: the first ones."""
        return int((self.lengths > column).sum())

    def blocks(self, width: int) -> Iterator[Block]:
        """Yield all columns, `width` at a time."""
        segments, stops = self.segments, self.column + self.segments.steps
        unfinished, begun = np.empty(0, dtype=np.int64), 0
        for start in range(0, int(self.lengths[0]), width):
            stop = min(start + width, int(self.lengths[0]))
            before, begun = begun, int(np.searchsorted(self.column, stop))
            present = np.concatenate([unfinished, np.arange(before, begun)])
            first = np.maximum(self.column[present], start)
            position = segments.begin[present] + first - self.column[present]
            yield Block(
                start=start,
                stop=stop,
                row=self.row[present],
                column=first - start,
                count=np.minimum(stops[present], stop) - first,
                document=segments.document[present],
                position=position,
                unscored=segments.score[present] - position,
                ends=segments.ends[present] & (stops[present] <= stop),
            )
            unfinished = present[stops[present] > stop]


@dataclass(frozen=True)
class Block:
    """Columns [start, stop) of lanes: a run of targets for each segment that has any there, [R] each.

    A cell is the place of a target in the block, row by row. Cells and what belongs to them are run after run, [N].
    """

    start: int
    stop: int
    row: Integers
    column: Integers
    """Of the first target, from `start`."""
    count: Integers
    document: Integers
    position: Integers
    """Of the first target in its document; that of an end is the number of tokens."""
    unscored: Integers
    """How many targets from the first on are burn-in; 0 or less if none is."""
    ends: Booleans
    """Whether the last target is the end of the document."""

    @property
    def first(self) -> Integers:
        """The number of each run's first target among all [N]."""
        first: Integers = np.cumsum(self.count) - self.count
        return first

    def spread(self, values: Integers) -> Integers:
        """Return the value of every target: `values` [R] are those of the first of each run, and they count up."""
        spread: Integers = np.repeat(values - self.first, self.count)
        spread += np.arange(len(spread))
        return spread

    @property
    def cells(self) -> Integers:
        """The cell of every target."""
        return self.spread(self.row * (self.stop - self.start) + self.column)

    @property
    def has_burn_in(self) -> bool:
        """Whether any target is not scored."""
        return bool((self.unscored > 0).any())

    @property
    def scored(self) -> Booleans:
        """Whether every target is scored."""
        return self.spread(np.zeros_like(self.count)) >= np.repeat(self.unscored, self.count)


def pack_lanes(segments: Segments) -> Iterator[Lanes]:
    """Put segments into lanes of about equal length, and yield the lanes in groups, longest first."""
    if not len(segments):
        return
    order, lane, count = _assign_lanes(segments)
    segments = segments.take(order)
    lengths = np.bincount(lane, segments.steps, count).astype(np.int64)
    by_lane = np.argsort(lane, kind="stable")
    steps = segments.steps[by_lane]
    column = np.empty_like(steps)
    column[by_lane] = np.cumsum(steps) - steps - (np.cumsum(lengths) - lengths)[lane[by_lane]]
    longest_first = np.argsort(-lengths, kind="stable")
    rank = np.empty_like(longest_first)
    rank[longest_first] = np.arange(count)
    group, row = rank[lane] // LANES, rank[lane] % LANES
    by_group = np.lexsort((row, column, group))
    edges = np.searchsorted(group[by_group], np.arange(-(-count // LANES) + 1))
    for number in range(len(edges) - 1):
        own = by_group[edges[number] : edges[number + 1]]
        rows = longest_first[number * LANES : (number + 1) * LANES]
        yield Lanes(segments.take(own), row[own], column[own], lengths[rows])


def _assign_lanes(segments: Segments) -> tuple[Integers, Integers, int]:
    """Return segments in the order in which they are put into lanes, the lane of each, and the number of lanes.

    Each segment that begins inside its document has a lane of its own. The others follow, longest first, each into the
    shortest lane.
    """
    steps, inside = segments.steps, segments.begin > 0
    first, whole = np.flatnonzero(inside), np.flatnonzero(~inside)
    whole = whole[np.argsort(-steps[whole], kind="stable")]
    count = min(len(segments), LANES * max(1, -(-len(first) // LANES)))
    lane = np.empty(len(segments), dtype=np.int64)
    lane[: len(first)] = np.arange(len(first))
    heap = [(length, number) for number, length in enumerate([*steps[first].tolist(), *[0] * (count - len(first))])]
    heapq.heapify(heap)
    for place, length in enumerate(steps[whole].tolist(), len(first)):
        total, shortest = heap[0]
        lane[place] = shortest
        heapq.heapreplace(heap, (total + length, shortest))
    return np.concatenate([first, whole]), lane, count
