"""Measure texts: sizes, scripts, entropies, frequent n-grams, duplicates, and quality findings.

One pass over a stream of documents, in memory that does not grow with them (at most 350 MB, when every table is full).
Sizes, scripts, findings and the order-0 entropy are exact. A full n-gram table stops counting and reports how much of
the text it has counted. Duplicates are exact as long as few lines are distinct; then they are estimated from a sample.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import regex

from seqgen.sources.statistics.ngrams import MAX_N, Entropy, NGrams
from seqgen.sources.statistics.quality import Block, Finding, Place, QualityChecks, split_into_blocks

CODE_POINTS = 0x110000
MAX_WORDS = 1 << 18
"""The number of distinct words at which counting words stops."""
MAX_WORD_LENGTH = 64
"""Longer words are counted by their first characters."""
REPORTED_SHARE = 0.1
"""The share of all characters in repeated lines above which they are a finding."""
MAX_HASHES = 1 << 18
"""The number of distinct texts whose hashes are kept, in about 50 MB."""

_CHARACTER_CLASSES = {
    "white space": r"[\p{Z}\t\n\r\v\f]",
    **{name: rf"(?=[\p{{L}}\p{{M}}])\p{{Script={name}}}" for name in (
        "Latin", "Greek", "Cyrillic", "Hangul", "Han", "Arabic", "Hebrew", "Thai", "Lao", "Devanagari", "Bengali",
        "Gurmukhi", "Gujarati", "Tamil", "Telugu", "Kannada", "Malayalam", "Sinhala", "Khmer", "Myanmar", "Tibetan",
        "Mongolian", "Georgian", "Armenian", "Ethiopic", "Cherokee",
    )},
    "Kana": r"(?=\p{L})[\p{Script=Hiragana}\p{Script=Katakana}ーｰ]",
    "other letters": r"\p{L}",
    "digits": r"\p{N}",
    "punctuation": r"\p{P}",
    "symbols": r"\p{S}",
    "combining marks": r"\p{M}",
    "control and unassigned": r"\p{C}",
}  # fmt: skip
"""Patterns of the classes; a character belongs to the first class that it matches."""
_CLASS_NAMES = tuple(_CHARACTER_CLASSES)
_CLASS_OF = regex.compile("|".join(f"({pattern})" for pattern in _CHARACTER_CLASSES.values()))


@dataclass(frozen=True)
class Script:
    """A script, or a class of characters without a script: how many characters, and how many distinct ones."""

    name: str
    distinct: int
    characters: int


@dataclass(frozen=True)
class Frequent:
    """The most frequent n-grams and their counts, of the first `counted` characters or words."""

    n: int
    distinct: int
    counted: int
    top: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Repeated:
    """Exact copies: their number, and their share of all characters; estimated from one distinct text in `sampled`."""

    copies: int
    share: float
    sampled: int


@dataclass(frozen=True)
class Statistics:
    """The result of `measure`. Sizes are counts; `bytes` are those of UTF-8; entropies are bits per character."""

    documents: int
    bytes: int
    characters: int
    lines: int
    words: int
    longest_line: int
    distinct_characters: int
    seen_once: int
    """The number of characters that occur once."""
    newlines: dict[str, int]
    scripts: tuple[Script, ...]
    entropies: tuple[Entropy, ...]
    character_ngrams: tuple[Frequent, ...]
    word_ngrams: tuple[Frequent, ...]
    repeated_documents: Repeated
    repeated_lines: Repeated
    findings: tuple[Finding, ...]

    def as_record(self) -> dict[str, Any]:
        """Return a dict for JSON whose keys are the names of the fields."""
        return asdict(self)


def measure(
    documents: Iterable[tuple[str, Iterable[str]]],
    *,
    top: int = 10,
    raw: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> Statistics:
    """Measure documents, each a name and its text in chunks of any length, in one pass.

    Args:
        documents: the names appear in the places of findings.
        top: how many of the most frequent n-grams to return.
        raw: whether each character is a byte of unknown meaning, so that none of them is a problem.
        progress: receives the number of characters after each block.
    """
    collector = _Collector()
    for name, chunks in documents:
        block = Block("", name, 0)
        for block in split_into_blocks(name, chunks):
            collector.add(block)
            progress(len(block.text))
        collector.end_document(block)
    found = collector.statistics(top)
    return replace(found, bytes=found.characters, findings=()) if raw else found


def script_of(character: str) -> str:
    """Return the script of a letter or of the mark of one script; for any other character its class."""
    index: int = _CLASS_OF.fullmatch(character).lastindex
    return _CLASS_NAMES[index - 1]


class Duplicates:
    """Count repeated texts, in bounded memory.

    Each text is known by a hash. While there is room, every hash is kept and the counts are exact; then only the hashes
    that are multiples of 2, later of 4, and so on (Wegman's adaptive sampling). So the distinct texts are sampled
    evenly, with all copies of each, and the share of repeated characters stays an unbiased estimate.

    One distinct text in `sampled` is counted.
    """

    def __init__(self, limit: int = MAX_HASHES) -> None:
        self.sampled = 1
        self._limit = limit
        self._seen: dict[int, tuple[int, int]] = {}
        """By hash: the number of occurrences, and the length of the text."""

    def add(self, digest: bytes, characters: int) -> bool:
        """Count a text by the digest of its `text_hash` and its length; return whether a copy was counted before."""
        key = int.from_bytes(digest, "little")
        if key % self.sampled:
            return False
        count, _ = self._seen.get(key, (0, 0))
        self._seen[key] = (count + 1, characters)
        while len(self._seen) > self._limit:
            self.sampled *= 2
            self._seen = {key: value for key, value in self._seen.items() if key % self.sampled == 0}
        return count > 0

    def result(self) -> Repeated:
        """Return how much was repeated."""
        copies = self.sampled * sum(count - 1 for count, _ in self._seen.values())
        repeated = sum((count - 1) * characters for count, characters in self._seen.values())
        total = sum(count * characters for count, characters in self._seen.values())
        return Repeated(copies, repeated / max(1, total), self.sampled)


def text_hash(text: str = "") -> hashlib.blake2b:
    """Return a hash object of 64 bits, updated with `text`."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8)


class _Collector:
    """Collect everything that `measure` returns, block by block."""

    def __init__(self) -> None:
        self._documents = self._lines = self._words = 0
        self._characters = [NGrams(1, limit=CODE_POINTS), *(NGrams(n) for n in range(2, MAX_N + 1))]
        self._word_ngrams = [NGrams(n) for n in range(1, MAX_N + 1)]
        self._word_ids: dict[str, int] = {}
        self._quality = QualityChecks()
        self._repeated_lines, self._repeated_documents = Duplicates(), Duplicates()
        self._first_repeated_line: Place | None = None
        self._start_document()

    def _start_document(self) -> None:
        self._hash, self._document_characters, self._ends_line = text_hash(), 0, True

    def add(self, block: Block) -> None:
        for table in self._characters:
            table.add(block.codes)
        self._count_words(block.text)
        self._quality.add(block)
        self._count_repeated_lines(block)
        self._hash.update(block.text.encode("utf-8", "surrogatepass"))
        self._document_characters += len(block.text)
        self._lines += len(block.line_ends)
        self._ends_line = block.text.endswith(("\n", "\r"))

    def _count_repeated_lines(self, block: Block) -> None:
        """Count the lines of a block that occurred before; a line longer than a block counts as several."""
        for index, line in enumerate(block.lines):
            if line and not line.isspace() and self._repeated_lines.add(text_hash(line).digest(), len(line)):
                self._first_repeated_line = self._first_repeated_line or block.place_of_line(index)

    def _count_words(self, text: str) -> None:
        words = text.split()
        self._words += len(words)
        ids = self._word_ids
        if len(ids) >= MAX_WORDS:
            return
        symbols = np.array([ids.setdefault(word[:MAX_WORD_LENGTH], len(ids)) for word in words], np.int64)
        for table in self._word_ngrams:
            table.add(symbols)

    def end_document(self, last: Block) -> None:
        for table in (*self._characters, *self._word_ngrams):
            table.end_document()
        self._quality.end_document(last)
        if not self._document_characters:
            self._quality.note("empty_documents", Place(last.document, 1))
        if self._repeated_documents.add(self._hash.digest(), self._document_characters):
            self._quality.note("duplicate_documents", Place(last.document, 1))
        self._documents += 1
        self._lines += not self._ends_line
        self._start_document()

    def statistics(self, top: int) -> Statistics:
        repeated_lines = self._repeated_lines.result()
        if self._first_repeated_line is not None and repeated_lines.share >= REPORTED_SHARE:
            self._quality.note("duplicate_lines", self._first_repeated_line, repeated_lines.copies)
        single = self._characters[0]
        counts = {code: count for (code,), count in single.most_frequent(CODE_POINTS)}
        words = list(self._word_ids)
        return Statistics(
            documents=self._documents,
            bytes=sum(count * _utf8_length(code) for code, count in counts.items()),
            characters=single.counted,
            lines=self._lines,
            words=self._words,
            longest_line=self._quality.longest_line,
            distinct_characters=len(counts),
            seen_once=sum(count == 1 for count in counts.values()),
            newlines=self._quality.newlines,
            scripts=_scripts(counts),
            entropies=tuple(table.entropy() for table in self._characters),
            character_ngrams=tuple(_frequent(table, top, chr, "") for table in self._characters),
            word_ngrams=tuple(_frequent(table, top, words.__getitem__, " ") for table in self._word_ngrams),
            repeated_documents=self._repeated_documents.result(),
            repeated_lines=repeated_lines,
            findings=tuple(self._quality.findings(counts)),
        )


def _frequent(table: NGrams, top: int, spelling: Callable[[int], str], separator: str) -> Frequent:
    ngrams = tuple((separator.join(map(spelling, symbols)), count) for symbols, count in table.most_frequent(top))
    return Frequent(table.n, table.distinct, table.counted, ngrams)


def _scripts(counts: dict[int, int]) -> tuple[Script, ...]:
    """Return the scripts of counted code points, the most frequent first."""
    members: dict[str, list[int]] = defaultdict(list)
    for code, count in counts.items():
        members[script_of(chr(code))].append(count)
    scripts = (Script(name, len(found), sum(found)) for name, found in members.items())
    return tuple(sorted(scripts, key=lambda script: (-script.characters, script.name)))


def _utf8_length(code: int) -> int:
    return 1 + (code > 0x7F) + (code > 0x7FF) + (code > 0xFFFF)
