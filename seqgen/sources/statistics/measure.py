"""What a text is made of: sizes, scripts, entropies, frequent n-grams, what is said twice, what looks wrong.

One pass over a stream of documents, in memory that does not grow with them (350 MB where every table is full).
Sizes, scripts, findings and the order-0 entropy are exact. An n-gram table that is full counts no further, and says how
much of the text it has seen; duplicates are looked for in a sample of the distinct lines where those are too many, and
say in how large a one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from seqgen.sources.statistics.blocks import Block, Place, blocks_of
from seqgen.sources.statistics.duplicates import Duplicates, hasher
from seqgen.sources.statistics.ngrams import LONGEST, Entropy, NGrams
from seqgen.sources.statistics.quality import Finding, QualityChecks
from seqgen.sources.statistics.scripts import script_of

CODE_POINTS = 0x110000
WORD_LIMIT = 1 << 18
"""Distinct words after which words are counted no further."""
REPEATED_SHARE = 0.1
"""Of all characters: so much that stands in lines that have been there before is worth a word."""
WORD_CAP = 64
"""Characters of a word that count: no table holds a word of a megabyte."""


@dataclass(frozen=True)
class Script:
    """A script, or a kind of characters that belong to none: how many of them, and how many different ones."""

    name: str
    distinct: int
    characters: int


@dataclass(frozen=True)
class Frequent:
    """The most frequent n-grams, with their counts; of the first `counted` characters or words."""

    n: int
    distinct: int
    counted: int
    top: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Repeated:
    """Exact copies: how many, their share of all characters; estimated from one distinct text in `sampled`."""

    copies: int
    share: float
    sampled: int


@dataclass(frozen=True)
class Statistics:
    """All of it. Sizes are counts; `bytes` are those of the text as UTF-8; entropies are in bits a character."""

    documents: int
    bytes: int
    characters: int
    lines: int
    words: int
    longest_line: int
    distinct_characters: int
    seen_once: int
    """Distinct characters that occur once."""
    newlines: dict[str, int]
    scripts: tuple[Script, ...]
    entropies: tuple[Entropy, ...]
    character_ngrams: tuple[Frequent, ...]
    word_ngrams: tuple[Frequent, ...]
    repeated_documents: Repeated
    repeated_lines: Repeated
    findings: tuple[Finding, ...]

    def as_record(self) -> dict[str, Any]:
        """The same as one JSON object: the fields' names are its keys."""
        return asdict(self)


def measure(
    documents: Iterable[tuple[str, Iterable[str]]], *, top: int = 10, progress: Callable[[int], None] = lambda _: None
) -> Statistics:
    """Read documents, each a name and its text in chunks of any length, once from beginning to end.

    Args:
        documents: names are what findings are placed by.
        top: how many of the most frequent n-grams.
        progress: is told how many characters have been read, as they are.
    """
    collector = _Collector()
    for name, chunks in documents:
        block = Block("", name, 0)
        for block in blocks_of(name, chunks):
            collector.add(block)
            progress(len(block.text))
        collector.end_document(block)
    return collector.statistics(top)


class _Collector:
    def __init__(self) -> None:
        self._documents = self._lines = self._words = 0
        self._characters = [NGrams(1, limit=CODE_POINTS), *(NGrams(n) for n in range(2, LONGEST + 1))]
        self._word_ngrams = [NGrams(n) for n in range(1, LONGEST + 1)]
        self._numbers: dict[str, int] = {}
        """Each word's symbol."""
        self._oddities = QualityChecks()
        self._repeated_lines, self._repeated_documents = Duplicates(), Duplicates()
        self._repeated_line: Place | None = None
        self._document, self._document_characters, self._ends_line = hasher(), 0, True

    def add(self, block: Block) -> None:
        for table in self._characters:
            table.add(block.codes)
        self._count_words(block.text)
        self._oddities.add(block)
        self._count_lines(block)
        self._document.update(block.text.encode("utf-8", "surrogatepass"))
        self._document_characters += len(block.text)
        self._lines += len(block.line_ends)
        self._ends_line = block.text.endswith(("\n", "\r"))

    def _count_lines(self, block: Block) -> None:
        """Look for lines that have been there before; of a line longer than a block, for its pieces."""
        for index, line in enumerate(block.lines):
            if line and not line.isspace() and self._repeated_lines.add(hasher(line).digest(), len(line)):
                self._repeated_line = self._repeated_line or block.place_of_line(index)

    def _count_words(self, text: str) -> None:
        words = text.split()
        self._words += len(words)
        if len(self._numbers) >= WORD_LIMIT:
            return
        numbers = self._numbers
        symbols = np.array([numbers.setdefault(word[:WORD_CAP], len(numbers)) for word in words], np.int64)
        for table in self._word_ngrams:
            table.add(symbols)

    def end_document(self, last: Block) -> None:
        for table in (*self._characters, *self._word_ngrams):
            table.end_document()
        self._oddities.end_document(last)
        if not self._document_characters:
            self._oddities.note("empty_documents", Place(last.document, 1))
        if self._repeated_documents.add(self._document.digest(), self._document_characters):
            self._oddities.note("duplicate_documents", Place(last.document, 1))
        self._documents += 1
        self._lines += not self._ends_line
        self._document, self._document_characters, self._ends_line = hasher(), 0, True

    def statistics(self, top: int) -> Statistics:
        if self._repeated_line is not None and self._repeated_lines.share >= REPEATED_SHARE:
            self._oddities.note("duplicate_lines", self._repeated_line, self._repeated_lines.copies)
        single = self._characters[0]
        counts = {code: count for (code,), count in single.most_frequent(CODE_POINTS)}
        names = list(self._numbers)
        return Statistics(
            documents=self._documents,
            bytes=sum(count * _utf8_length(code) for code, count in counts.items()),
            characters=single.counted,
            lines=self._lines,
            words=self._words,
            longest_line=self._oddities.longest_line,
            distinct_characters=len(counts),
            seen_once=sum(count == 1 for count in counts.values()),
            newlines=self._oddities.newlines,
            scripts=_scripts(counts),
            entropies=tuple(table.entropy() for table in self._characters),
            character_ngrams=tuple(_frequent(table, top, chr, "") for table in self._characters),
            word_ngrams=tuple(_frequent(table, top, names.__getitem__, " ") for table in self._word_ngrams),
            repeated_documents=_repeated(self._repeated_documents),
            repeated_lines=_repeated(self._repeated_lines),
            findings=tuple(self._oddities.findings(counts)),
        )


def _frequent(table: NGrams, top: int, spelt: Callable[[int], str], between: str) -> Frequent:
    grams = tuple((between.join(map(spelt, symbols)), count) for symbols, count in table.most_frequent(top))
    return Frequent(table.n, table.distinct, table.counted, grams)


def _repeated(duplicates: Duplicates) -> Repeated:
    return Repeated(duplicates.copies, duplicates.share, duplicates.sampled)


def _scripts(counts: dict[int, int]) -> tuple[Script, ...]:
    """By script, the one with most characters first."""
    members: dict[str, list[int]] = defaultdict(list)
    for code, count in counts.items():
        members[script_of(chr(code))].append(count)
    scripts = (Script(name, len(found), sum(found)) for name, found in members.items())
    return tuple(sorted(scripts, key=lambda script: (-script.characters, script.name)))


def _utf8_length(code: int) -> int:
    return 1 + (code > 0x7F) + (code > 0x7FF) + (code > 0xFFFF)
