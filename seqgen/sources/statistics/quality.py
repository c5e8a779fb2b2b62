"""Find what looks wrong in a text: for each kind of finding its count, its first place, and advice."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from seqgen.sources.lines import last_line_start, split_lines
from seqgen.sources.misreading import GARBLED, MOJIBAKE, SORTED, Order, detect_misreading, is_mojibake, is_mostly_upper

BLOCK_CHARACTERS = 1 << 20
LONG_LINE = 10_000
"""The number of characters above which a line is a finding."""
RARE_SHARE = 0.1
"""The share of the distinct characters that occur once above which they are a finding."""

ADVICE = {
    "empty_documents": "the file is empty; check that it is the right one",
    "wrong_encoding": "",
    "binary": "",
    "json": "",
    "table": "",
    "markup": "",
    "mojibake": str(MOJIBAKE),
    "nul": "NUL is learned like any other character; remove it unless it belongs to the text",
    "c1_controls": "they come from a DOS or Windows encoding read as Latin-1; read the source in its own encoding",
    "terminal_codes": "escape sequences and backspaces for a terminal; remove them",
    "form_feeds": "page breaks are learned like any other character; remove them unless they belong to the text",
    "control_characters": "they come from a binary file or a program; remove them unless they belong to the text",
    "replacement_characters": "characters were lost before this text was written; decode the source again in its own "
    "encoding",
    "byte_order_marks": "they come from joined files; remove them",
    "not_nfc": "a letter is spelled in two ways, as one character and with a combining mark; normalize to NFC",
    "cr_line_ends": "lines end with CR alone, and most tools see one line; convert the ends to LF",
    "mixed_newlines": "each kind of line end is learned separately; convert them to one kind",
    "sorted_lines": str(SORTED),
    "long_lines": "the text may be data, or may have lost its line ends; otherwise leave it as it is",
    "trailing_spaces": "invisible spaces are learned too; remove them unless they mean something",
    "rare_characters": "a character that occurs once cannot be learned; --tokenizer byte or bpe needs no id for each",
    "duplicate_documents": "a copy is learned twice, and may be in both training and validation text; keep one of each",
    "duplicate_lines": "a copy is learned twice, and may be in both training and validation text; keep one of each, "
    "unless the repetition belongs to the text",
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
"""Kinds that are left out where another kind explains them."""
_NEWLINES = {"lf": re.compile(r"(?<!\r)\n"), "crlf": re.compile(r"\r\n"), "cr": re.compile(r"\r(?!\n)")}


_LF, _CR = 10, 13


@dataclass(frozen=True, order=True)
class Place:
    """A document and a line of it, counted from 1 as an editor shows them."""

    document: str
    line: int


@dataclass(frozen=True)
class Block:
    """Whole lines of a document, or part of a line that is longer than a block."""

    text: str
    document: str
    lines_before: int

    @cached_property
    def codes(self) -> npt.NDArray[np.int64]:
        """The code points, [N]."""
        encoded = self.text.encode("utf-32-le", "surrogatepass")
        return np.frombuffer(encoded, np.uint32).astype(np.int64)

    @cached_property
    def line_ends(self) -> npt.NDArray[np.int64]:
        r"""The positions of its line ends: each `\n`, `\r\n`, and `\r` alone."""
        feeds, returns = self.codes == _LF, self.codes == _CR
        feeds[1:] &= ~returns[:-1]
        return np.flatnonzero(feeds | returns)

    @cached_property
    def lines(self) -> list[str]:
        """The lines without their ends; the last is empty if the block ends with a line end."""
        return split_lines(self.text)

    def place_of(self, position: int) -> Place:
        """Return the place of the character at `position`."""
        return self.place_of_line(int(np.searchsorted(self.line_ends, position)))

    def place_of_line(self, index: int) -> Place:
        """Return the place of line `index` of the block, from 0."""
        return Place(self.document, self.lines_before + index + 1)


def split_into_blocks(document: str, chunks: Iterable[str], size: int = BLOCK_CHARACTERS) -> Iterator[Block]:
    r"""Yield a document, which comes in `chunks` of any length, in blocks of at most twice `size` characters.

    A block ends after a line end. In a line longer than a block it ends after a space, or anywhere if there is none,
    but never inside `\r\n`.
    """
    held, lines = "", 0
    for chunk in chunks:
        for start in range(0, len(chunk), size):
            held += chunk[start : start + size]
            while len(held) >= size:
                cut = last_line_start(held) or held.rfind(" ") + 1 or len(held.removesuffix("\r"))
                block = Block(held[:cut], document, lines)
                yield block
                lines += len(block.line_ends)
                held = held[cut:]
    if held:
        yield Block(held, document, lines)


@dataclass(frozen=True)
class Finding:
    """Something that looks wrong: how often it occurs, its first place, and advice."""

    kind: str
    count: int
    place: Place
    advice: str


class QualityChecks:
    """Collect the findings of documents, block by block."""

    def __init__(self) -> None:
        self.newlines = dict.fromkeys(_NEWLINES, 0)
        """The number of line ends of each kind."""
        self.longest_line = 0
        self._counts: dict[str, int] = {}
        self._places: dict[str, Place] = {}
        self._known = np.zeros(0x110000, bool)
        self._first: dict[int, Place] = {}
        """By code point: its first place, in the order of the text."""
        self._line_so_far = 0
        """The characters of the current line in earlier blocks."""
        self._advice = dict(ADVICE)
        self._order = Order()
        self._starts_document = True
        """Whether the next block starts a document."""
        self._start: Place | None = None
        """The start of the first document."""

    def note(self, kind: str, place: Place, count: int = 1) -> None:
        """Add `count` to a kind of finding; its first place is kept."""
        self._counts[kind] = self._counts.get(kind, 0) + count
        self._places.setdefault(kind, place)

    def add(self, block: Block) -> None:
        """Check a block; the blocks of a document come in order."""
        if self._starts_document:
            self._note_misreading(block)
        self._starts_document = False
        self._start = self._start or block.place_of_line(0)
        self._note_characters(block)
        self._note_newlines(block)
        self._order.add(block.lines)
        *ended, rest = block.lines
        lengths = [len(line) for line in ended]
        if lengths:
            lengths[0] += self._line_so_far
            self._line_so_far = 0
        self._line_so_far += len(rest)
        self._note_lengths(lengths, block)
        self._note_lines("trailing_spaces", [line.endswith((" ", "\t")) for line in ended], block)
        if not block.text.isascii():
            self._note_encoding(block)

    def end_document(self, last: Block) -> None:
        """End a document whose last block was `last`."""
        self._note_lengths([0] * len(last.line_ends) + [self._line_so_far], last)
        self._line_so_far = 0
        self._starts_document = True
        self._order.end_document()

    def findings(self, characters: dict[int, int]) -> list[Finding]:
        """Return the findings in the order of `ADVICE`, given the count of each code point; call it once."""
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
        """Check the lengths of the lines of a block."""
        longest = max(lengths, default=0)
        self.longest_line = max(self.longest_line, longest)
        if longest > LONG_LINE:
            self._note_lines("long_lines", [length > LONG_LINE for length in lengths], block)

    def _note_lines(self, kind: str, hits: list[bool], block: Block) -> None:
        """Note the lines of a block where `hits` is true."""
        if any(hits):
            self.note(kind, block.place_of_line(hits.index(True)), sum(hits))

    def _note_codes(self, kind: str, codes: Set[int], characters: dict[int, int]) -> None:
        """Note all characters with these code points."""
        if codes:
            place = next(place for code, place in self._first.items() if code in codes)
            self.note(kind, place, sum(characters[code] for code in codes))

    def _note_characters(self, block: Block) -> None:
        """Record the first place of each new character."""
        positions = np.flatnonzero(~self._known[block.codes])
        if not len(positions):
            return
        codes, first = np.unique(block.codes[positions], return_index=True)
        self._known[codes] = True
        for index in np.argsort(first, kind="stable"):
            self._first[int(codes[index])] = block.place_of(int(positions[first[index]]))

    def _note_misreading(self, block: Block) -> None:
        """Check what the start of a document looks like."""
        found = detect_misreading(block.text)
        if found is not None and not ADVICE[found.kind]:  # the other kinds are counted everywhere
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
