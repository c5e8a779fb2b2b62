"""What looks wrong in a text: each kind with how often, where first, and what to do about it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Set
from dataclasses import dataclass

import numpy as np

from seqgen.data.blocks import Block, Place

LONG_LINE = 10_000
"""Characters above which a line is a long one."""
RARE_SHARE = 0.1
"""Of the distinct characters: so many that occur once are worth a word."""

_AS_CP1252 = "€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ"
_TAIL = f"[\x80-\xbf{_AS_CP1252}]"
MOJIBAKE = re.compile(
    f"[ÂÃ]{_TAIL}|(?:[\xc4-\xdf]{_TAIL}){{2,}}|[\xe0-\xef]{_TAIL}{{2}}|[\xf0-\xf4]{_TAIL}{{3}}",
)
"""The bytes of UTF-8, read one by one as Latin-1 or CP1252: a first byte, and as many further ones as it announces.

Of the two-byte sequences that are no Latin-1 letters (Greek, Cyrillic, ...) two in a row are asked for: one could be
the end of a word in capitals before a quotation mark.
"""

ADVICE = {
    "nul": "where every other character is one the text is UTF-16: give --encoding utf-16-le (or -be); else NUL is "
    "learnt like any other: remove it unless the text means it",
    "control_characters": "terminal codes or a binary file: remove them, or see that this is the right file",
    "replacement_characters": "whatever wrote this text had lost the characters: go back to the source, decoded by its "
    "own encoding",
    "byte_order_marks": "left from files that were joined: remove them",
    "mojibake": "UTF-8 read as Latin-1 or CP1252: go back to the source, read as UTF-8",
    "not_nfc": "one letter is written in two ways, as itself and as letter and mark: normalise the text to NFC",
    "mixed_newlines": "the model learns each kind of line end as other characters: convert them to one",
    "long_lines": "perhaps no text but data, or one that has lost its line ends; train on it as it is if it should",
    "trailing_spaces": "spaces that nobody sees are learnt too: strip them unless they mean something",
    "rare_characters": "nothing can be learnt of a character that is seen once; --tokenizer byte or bpe does without a "
    "place for each",
    "duplicate_documents": "what stands twice is learnt twice, and may be withheld in one place and learnt in another: "
    "keep one of each",
    "duplicate_lines": "what stands twice is learnt twice, and may be withheld in one place and learnt in another: "
    "keep one of each if they are no part of the form",
}


_CODES = {
    "nul": {0},
    "control_characters": {*range(1, 0x20), *range(0x7F, 0xA0)} - {*map(ord, "\t\n\r")},
    "replacement_characters": {0xFFFD},
    "byte_order_marks": {0xFEFF},
}
_NEWLINES = {"lf": re.compile(r"(?<!\r)\n"), "crlf": re.compile(r"\r\n"), "cr": re.compile(r"\r(?!\n)")}


@dataclass(frozen=True)
class Finding:
    """Something that looks wrong: how often, where first, and what to do."""

    kind: str
    count: int
    place: Place
    advice: str


class Oddities:
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

    def note(self, kind: str, place: Place, count: int = 1) -> None:
        """Count something of this kind; the first place is kept."""
        self._counts[kind] = self._counts.get(kind, 0) + count
        self._places.setdefault(kind, place)

    def add(self, block: Block) -> None:
        """Look through a block; the blocks of a document come in their order."""
        self._note_characters(block)
        self._note_newlines(block)
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

    def findings(self, characters: dict[int, int]) -> list[Finding]:
        """All that was found, in the order of `ADVICE`, given how often each code point occurs. Ask it once, last."""
        for kind, codes in _CODES.items():
            self._note_codes(kind, codes & characters.keys(), characters)
        once = {code for code, count in characters.items() if count == 1}
        if len(once) > RARE_SHARE * len(characters):
            self._note_codes("rare_characters", once, characters)
        rarer = sorted((kind for kind in _NEWLINES if self.newlines[kind]), key=self.newlines.__getitem__)[:-1]
        for kind in rarer:
            self.note("mixed_newlines", self._places[kind], self.newlines[kind])
        return [
            Finding(kind, self._counts[kind], self._places[kind], advice)
            for kind, advice in ADVICE.items()
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
        garbled = [match.start() for match in MOJIBAKE.finditer(block.text)]
        if garbled:
            self.note("mojibake", block.place_of(garbled[0]), len(garbled))
        if not unicodedata.is_normalized("NFC", block.text):
            hits = [not unicodedata.is_normalized("NFC", line) for line in block.lines]
            self._note_lines("not_nfc", hits, block)
