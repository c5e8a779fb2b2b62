"""Add up the nats of lines and documents while a text is scored. The memory grows with the lines, not the tokens."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from seqgen.data.documents import Documents
from seqgen.evaluation.scoring import Scores
from seqgen.evaluation.segments import Integers
from seqgen.sources.lines import LINE_END
from seqgen.sources.source import LoadedDocuments
from seqgen.tokenizers.base import Tokenizer
from seqgen.utils.text import without_surrogates

BATCH = 1 << 20
"""Characters of a text that are cut into tokens at once."""


@dataclass(frozen=True, eq=False)
class Costs:
    """What lines cost, or documents, [L] each. Together they are all that was scored."""

    document: Integers
    """The number of the document, from 0."""
    line: Integers
    """The number of the line in its document, from 1; 1 for a document."""
    spans: Integers
    """Where it begins and ends in its document as it was read, in characters, [L, 2]."""
    tokens: Integers
    """How many tokens begin in it; the end of a document, if it is scored, is in the last line."""
    bytes: Integers
    """Its bytes in the file, with its line end."""
    nats: npt.NDArray[np.float64]
    """-ln p of its tokens, and the spelling of each `<unk>`."""

    def __len__(self) -> int:
        return len(self.document)

    @property
    def bits_per_byte(self) -> npt.NDArray[np.float64]:
        """Its nats in bits, divided by its bytes."""
        bits: npt.NDArray[np.float64] = self.nats / math.log(2) / self.bytes
        return bits

    @property
    def strangeness(self) -> npt.NDArray[np.float64]:
        """Its nats divided by the root of its bytes: what ranks lines.

        Nats alone rank long lines first, and nats per byte short ones. The sum of n independent costs varies by root n.
        """
        strangeness: npt.NDArray[np.float64] = self.nats / np.sqrt(self.bytes)
        return strangeness

    def strangest(self, count: int | None = None) -> Integers:
        """Return the indices of the `count` strangest, or of all, the strangest first; of equal ones the first."""
        return np.argsort(-self.strangeness, kind="stable")[:count]

    @cached_property
    def first(self) -> Integers:
        """The number of the first token of each among all tokens that were scored."""
        first: Integers = np.cumsum(self.tokens) - self.tokens
        return first


class LineCosts:
    """Add up what the lines of documents cost.

    Args:
        documents: the texts.
        ids: their ids.
        tokenizer: what made them.
    """

    def __init__(self, documents: LoadedDocuments, ids: Documents, tokenizer: Tokenizer) -> None:
        lines = [count_lines(text, tokenizer) for text in documents]
        for own, size in zip(lines, documents.end_sizes, strict=True):
            own.bytes[-1] += size
        self._offsets: Integers = np.cumsum(ids.lengths) - ids.lengths
        self._document = np.repeat(np.arange(len(lines)), [len(own.first) for own in lines])
        self._first = np.concatenate([own.first + offset for own, offset in zip(lines, self._offsets, strict=True)])
        self._line = np.concatenate([np.arange(1, len(own.first) + 1) for own in lines])
        self._spans = np.concatenate([own.spans for own in lines])
        self._bytes = np.concatenate([own.bytes for own in lines])
        self._nats = np.concatenate([own.spelling for own in lines])
        self._tokens = np.zeros(len(self._line), np.int64)

    def add(self, scores: Scores) -> None:
        """Add the nats of a block of tokens."""
        # Lines without tokens begin where the next one does, and the last of these is the one that has the token.
        line = np.searchsorted(self._first, self._offsets[scores.document] + scores.position, side="right") - 1
        np.add.at(self._nats, line, scores.nats.astype(np.float64))
        np.add.at(self._tokens, line, 1)

    def lines(self) -> Costs:
        """Return what each line cost so far."""
        return Costs(self._document, self._line, self._spans, self._tokens, self._bytes, self._nats)

    def documents(self) -> Costs:
        """Return what each document cost so far."""
        begins = np.flatnonzero(self._line == 1)
        stops = np.append(begins[1:], len(self._line)) - 1
        return Costs(
            document=np.arange(len(begins)),
            line=np.ones(len(begins), np.int64),
            spans=np.stack([self._spans[begins, 0], self._spans[stops, 1]], axis=1),
            tokens=np.add.reduceat(self._tokens, begins),
            bytes=np.add.reduceat(self._bytes, begins),
            nats=np.add.reduceat(self._nats, begins),
        )


@dataclass(frozen=True, eq=False)
class Lines:
    """The lines of one document, [L] each."""

    first: Integers
    """How many tokens of the document begin before the line."""
    spans: Integers
    """Where it begins and ends in the document, in characters, [L, 2]."""
    bytes: Integers
    spelling: npt.NDArray[np.float64]
    """The nats that it takes to spell its `<unk>`."""


def count_lines(text: str, tokenizer: Tokenizer) -> Lines:
    """Return where the lines of a document begin among its characters and tokens. A token is where it begins."""
    first, sizes, stops, spelling = [], [], [], []
    tokens = characters = 0
    for batch in _batches(text):
        whole = "".join(batch)
        pieces = tokenizer.token_texts(whole)
        begins = np.cumsum([0, *map(len, pieces)], dtype=np.int64)
        normalized = [len(line) for line in split_lines("".join(pieces))]
        own = np.searchsorted(begins[:-1], np.cumsum(normalized) - normalized)
        costs = np.zeros(len(batch))
        if tokenizer.unknown_id is not None:
            unknown = np.flatnonzero(tokenizer.encode(whole) == tokenizer.unknown_id)
            line = np.searchsorted(own, unknown, side="right") - 1
            np.add.at(costs, line, [tokenizer.unk_cost(pieces[place]) for place in unknown.tolist()])
        first.append(own + tokens)
        sizes.append(np.array([tokenizer.byte_length(without_surrogates(line)) for line in batch], np.int64))
        stops.append(np.cumsum([len(line) for line in batch], dtype=np.int64) + characters)
        spelling.append(costs)
        tokens, characters = tokens + len(pieces), characters + len(whole)
    ends = np.concatenate(stops)
    spans = np.stack([np.concatenate([[0], ends[:-1]]), ends], axis=1)
    return Lines(np.concatenate(first), spans, np.concatenate(sizes), np.concatenate(spelling))


def split_lines(text: str) -> Iterator[str]:
    """Yield the lines of a text with their ends."""
    start = 0
    for end in LINE_END.finditer(text):
        yield text[start : end.end()]
        start = end.end()
    if start < len(text):
        yield text[start:]


def _batches(text: str) -> Iterator[list[str]]:
    """Yield the lines in batches of at least `BATCH` characters, cut where that changes no token."""
    batch: list[str] = []
    size = 0
    for line in split_lines(text):
        if size >= BATCH and batch[-1].endswith("\n") and not line[0].isspace():
            yield batch
            batch, size = [], 0
        batch.append(line)
        size += len(line)
    yield batch
