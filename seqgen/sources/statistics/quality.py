"""What looks wrong in a text: each kind with how often, where first, and what to do about it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Set
from dataclasses import dataclass

import numpy as np

from seqgen.sources.misreading import GARBLED, MOJIBAKE, SORTED, Order, detect_misreading, is_mojibake, is_mostly_upper
from seqgen.sources.statistics.blocks import Block, Place

LONG_LINE = 10_000
"""Characters above which a line is a long one."""
RARE_SHARE = 0.1
"""Of the distinct characters: so many that occur once are worth a word."""

ADVICE = {
    "empty_documents": "there is nothing in it: see that this is the right file",
    "wrong_encoding": "",
    "binary": "",
    "json": "",
    "table": "",
    "markup": "",
    "mojibake": str(MOJIBAKE),
    "nul": "NUL is learned like any other character: remove it unless the text means it",
    "c1_controls": "left from another encoding, as code pages of DOS and Windows read as Latin-1 leave them: read the "
    "source by its own encoding",
    "terminal_codes": "escape sequences and backspaces, meant for a terminal: remove them",
    "form_feeds": "page breaks are learned like any other character: remove them unless the text means them",
    "control_characters": "left from a binary file, or from a program: remove them unless the text means them",
    "replacement_characters": "whatever wrote this text had lost the characters: go back to the source, decoded by its "
    "own encoding",
    "byte_order_marks": "left from files that were joined: remove them",
    "not_nfc": "one letter is written in two ways, as itself and as letter and mark: normalize the text to NFC",
    "cr_line_ends": "lines end with CR alone, as on an old Mac: tools that know LF see one line; convert them to LF",
    "mixed_newlines": "the model learns each kind of line end as other characters: convert them to one",
    "sorted_lines": str(SORTED),
    "long_lines": "perhaps no text but data, or one that has lost its line ends; train on it as it is if it should",
    "trailing_spaces": "spaces that nobody sees are learned too: strip them unless they mean something",
    "rare_characters": "nothing can be learned of a character that is seen once; --tokenizer byte or bpe needs no "
    "place for each",
    "duplicate_documents": "a copy is learned twice, and may be withheld in one place and learned in another: keep one "
    "of each",
    "duplicate_lines": "a copy is learned twice, and may be withheld in one place and learned in another: keep one of "
    "each if they are no part of the form",
}
"""By kind, in the order of the findings. Where it is empty, the advice comes from `detect_misreading`."""


_CODES = {
    "nul": {0},
    "c1_controls": {*range(0x80, 0xA0)},
    "terminal_codes": {*map(ord, "\b\x1b")},
    "form_feeds": {ord("\f")},
    "control_characters": {*range(1, 0x20), 0x7F} - {*map(ord, "\b\t\n\f\r\x1b")},
    "replacement_characters": {0xFFFD},
    "byte_order_marks": {0xFEFF},
}
_EXPLAINED_BY = {"nul": {"wrong_encoding", "binary"}, "c1_controls": {"wrong_encoding", "binary", "mojibake"}}
"""Kinds that are of no use to know where another was found."""
_NEWLINES = {"lf": re.compile(r"(?<!\r)\n"), "crlf": re.compile(r"\r\n"), "cr": re.compile(r"\r(?!\n)")}


@dataclass(frozen=True)
class Finding:
    """Something that looks wrong: how often, where first, and what to do."""

    kind: str
    count: int
    place: Place
    advice: str


class QualityChecks:
    """Collects findings, block by block."""

    def __init__(self) -> None:
        self.newlines = dict.fromkeys(_NEWLINES, 0)
        """How many line ends of each kind there are."""
        self.longest_line = 0
        self._counts: dict[str, int] = {}
        self._places: dict[str, Place] = {}
        self._known = np.zeros(0x110000, bool)
        self._first: dict[int, Place] = {}
        """By code point: where it stands first, in the order of the text."""
        self._line = 0
        """Characters of a line that began in an earlier block."""
        self._advice = dict(ADVICE)
        self._order = Order()
        self._begins = True
        """Whether the next block begins a document."""
        self._start: Place | None = None
        """Where the first document begins."""

    def note(self, kind: str, place: Place, count: int = 1) -> None:
        """Count something of this kind; the first place is kept."""
        self._counts[kind] = self._counts.get(kind, 0) + count
        self._places.setdefault(kind, place)

    def add(self, block: Block) -> None:
        """Look through a block; the blocks of a document come in their order."""
        if self._begins:
            self._note_misreading(block)
        self._begins = False
        self._start = self._start or block.place_of_line(0)
        self._note_characters(block)
        self._note_newlines(block)
        self._order.add(block.lines)
        *ended, rest = block.lines
        lengths = [len(line) for line in ended]
        if lengths:
            lengths[0] += self._line
            self._line = 0
        self._line += len(rest)
        self._note_lengths(lengths, block)
        self._note_lines("trailing_spaces", [line.endswith((" ", "\t")) for line in ended], block)
        if not block.text.isascii():
            self._note_encoding(block)

    def end_document(self, last: Block) -> None:
        """The next block begins a document, and a line; `last` was the last one of this."""
        self._note_lengths([0] * len(last.line_ends) + [self._line], last)
        self._line = 0
        self._begins = True
        self._order.end_document()

    def findings(self, characters: dict[int, int]) -> list[Finding]:
        """All that was found, in the order of `ADVICE`, given how often each code point occurs. Ask it once, last."""
        for kind, codes in _CODES.items():
            if kind not in _EXPLAINED_BY or not self._counts.keys() & _EXPLAINED_BY[kind]:
                self._note_codes(kind, codes & characters.keys(), characters)
        once = {code for code, count in characters.items() if count == 1}
        if len(once) > RARE_SHARE * len(characters):
            self._note_codes("rare_characters", once, characters)
        rarer = sorted((kind for kind in _NEWLINES if self.newlines[kind]), key=self.newlines.__getitem__)[:-1]
        for kind in rarer:
            self.note("mixed_newlines", self._places[kind], self.newlines[kind])
        if self.newlines["cr"] > max(self.newlines["lf"], self.newlines["crlf"]):
            self.note("cr_line_ends", self._places["cr"], self.newlines["cr"])
        if self._start is not None and self._order.is_sorted:
            self.note("sorted_lines", self._start, self._order.pairs)
        return [
            Finding(kind, self._counts[kind], self._places[kind], advice)
            for kind, advice in self._advice.items()
            if kind in self._counts
        ]

    def _note_lengths(self, lengths: list[int], block: Block) -> None:
        """Look at the characters of each line of a block."""
        longest = max(lengths, default=0)
        self.longest_line = max(self.longest_line, longest)
        if longest > LONG_LINE:
            self._note_lines("long_lines", [length > LONG_LINE for length in lengths], block)

    def _note_lines(self, kind: str, hits: list[bool], block: Block) -> None:
        """Count the lines of a block that are hits."""
        if any(hits):
            self.note(kind, block.place_of_line(hits.index(True)), sum(hits))

    def _note_codes(self, kind: str, codes: Set[int], characters: dict[int, int]) -> None:
        """Count all characters of these code points."""
        if codes:
            place = next(place for code, place in self._first.items() if code in codes)
            self.note(kind, place, sum(characters[code] for code in codes))

    def _note_characters(self, block: Block) -> None:
        """Remember where characters stand that were not seen before."""
        positions = np.flatnonzero(~self._known[block.codes])
        if not len(positions):
            return
        codes, first = np.unique(block.codes[positions], return_index=True)
        self._known[codes] = True
        for index in np.argsort(first, kind="stable"):
            self._first[int(codes[index])] = block.place_of(int(positions[first[index]]))

    def _note_misreading(self, block: Block) -> None:
        """Look at what a document begins with."""
        found = detect_misreading(block.text)
        if found is not None and not ADVICE[found.kind]:  # the others are counted wherever they are
            self._advice[found.kind] = self._advice[found.kind] or str(found)
            self.note(found.kind, block.place_of_line(0))

    def _note_newlines(self, block: Block) -> None:
        for kind, pattern in _NEWLINES.items():
            found = pattern.search(block.text) if kind not in self._places else None
            if found is not None:
                self._places[kind] = block.place_of(found.start())
        pairs = block.text.count("\r\n")
        self.newlines["lf"] += block.text.count("\n") - pairs
        self.newlines["crlf"] += pairs
        self.newlines["cr"] += block.text.count("\r") - pairs

    def _note_encoding(self, block: Block) -> None:
        garbled = [match.start() for match in GARBLED.finditer(block.text)]
        if garbled and (is_mojibake(block.text) or not is_mostly_upper(block.text)):
            self.note("mojibake", block.place_of(garbled[0]), len(garbled))
        if not unicodedata.is_normalized("NFC", block.text):
            hits = [not unicodedata.is_normalized("NFC", line) for line in block.lines]
            self._note_lines("not_nfc", hits, block)
