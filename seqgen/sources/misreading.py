"""Detect text that decodes but is not plain text: a wrong encoding, a binary file, JSON, a table, markup.

`detect_misreading` looks at the first `SAMPLE_CHARACTERS` characters of a sample. Ordinary text and program code are
none of these.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from seqgen.sources.config import FOR_PAIRS
from seqgen.sources.guess_encoding import guess_encoding
from seqgen.sources.lines import split_lines

SAMPLE_CHARACTERS = 1 << 15
"""The number of characters of a sample that are checked."""
MIN_CHARACTERS = 100
"""The fewest characters of a sample that is checked."""
REPORTED_SHARE = 0.1
"""The share of the samples of a text from which a misreading is reported."""

_C1 = re.compile("[\x80-\x84\x86-\x9f]")
"""Control characters that texts do not have; NEL, which ends lines on some mainframes, is not one of them."""
_LATIN_1, _BEYOND = re.compile("[\x80-\xff]"), re.compile("[^\0-\xff]")
_ASCII_LETTER = re.compile("[A-Za-z]")
_ISO_2022 = re.compile(r"\x1b\$(?:[@B]|\)C)")
_CONTROL = re.compile("[\x01-\x07\x0e-\x1a\x1c-\x1f\x7f]")
"""Control characters of neither texts nor terminals. NUL is not one of them: it may separate records."""
_AS_CP1252 = "€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ"
_UPPER = re.compile(f"[\x80-\xff{_AS_CP1252}]")
_TAIL = f"[\x80-\xbf{_AS_CP1252}]"
_AFTER_WORD = "[\xa0«»‹›“”„‘’‚…–—®™·•¡¿¹²³]"
"""The tails that follow a letter in good text: a space, quotation marks, a dash, the number of a footnote."""
GARBLED = re.compile(
    f"[ÂÃ](?!{_AFTER_WORD}){_TAIL}|(?<![A-Z])[ÂÃ]{_TAIL}|[ÂÃ]{_TAIL}(?=[A-Za-z])"
    f"|(?:[\xc4-\xdf]{_TAIL}){{2,}}"
    f"|[\xe0-\xef](?!{_AFTER_WORD}{{2}}){_TAIL}{{2}}|[\xf0-\xf4](?!{_AFTER_WORD}{{3}}){_TAIL}{{3}}"
)
"""The bytes of UTF-8 read one by one as Latin-1 or CP1252: a first byte, and as many tail bytes as it announces.

Two-byte sequences of other scripts (Greek, Cyrillic, ...) count only two in a row: a single one may be the end of a
word in capitals before a quotation mark. Other word ends do not count either: `bonté` before a no-break space and a
guillemet, `MANHÃ` before a guillemet.
"""
_TAG = re.compile(
    r"</[A-Za-z][\w:.-]*\s*>|<(?:br|hr|img|input|link|meta|p|li)\b[^<>]{0,999}>|<[a-z][^<>]{0,999}/>", re.IGNORECASE
)
"""Closing tags, and tags without a closing tag; generic types and includes of program code are neither."""
_MARKUP_HEAD = re.compile(r"\s*<(?:!doctype\s+html|html|\?xml|svg)\b", re.IGNORECASE)
_JSON_HEAD = re.compile(r'\[?\s*\{\s*"[^"\n]{1,99}"\s*:')
_SPACE_OR_DIGIT = re.compile(r"[\s\d]")
_DELIMITERS = {"\t": "tabs", ",": "commas", ";": "semicolons", "|": "bars"}


@dataclass(frozen=True)
class Misreading:
    """What a text seems to be instead of plain text, and advice."""

    kind: str
    what: str
    advice: str

    def __str__(self) -> str:
        return f"{self.what}: {self.advice}"


SORTED = Misreading(
    "sorted_lines",
    "a list in sorted order",
    "neighbors are alike, so validation blocks say little about new lines; to make each line a document, give "
    "--documents line",
)
BINARY = Misreading("binary", "a binary file", "check that this is the right file")
MOJIBAKE = Misreading("mojibake", "UTF-8 read as Latin-1 or CP1252", "read the source with --encoding utf-8")
LOST = Misreading(
    "replacement_characters",
    "text decoded with a wrong encoding",
    "much of it is U+FFFD; decode the source again in its own encoding",
)
MARKUP = Misreading(
    "markup",
    "HTML or XML",
    "tags are learned like any text; rename the file to .html, or convert it to plain text first",
)
JSON_TEXT = Misreading(
    "json",
    "JSON",
    "braces and keys are learned like any text; rename the file to .json or .jsonl and choose a field with --field",
)


def detect_misreading(sample: str) -> Misreading | None:
    """Return what `sample`, from the start of a line, seems to be; None if it is ordinary text."""
    sample = sample[:SAMPLE_CHARACTERS]
    if len(sample) < MIN_CHARACTERS:
        return None
    checks = (_check_nul, _check_iso_2022, _check_binary, _check_lost, _check_encoding, _check_json, _check_table,
              _check_markup)  # fmt: skip
    return next((found for check in checks if (found := check(sample)) is not None), None)


def _check_nul(sample: str) -> Misreading | None:
    """Detect ASCII in UTF-16 or UTF-32: every other character is NUL, or three of four. UTF-8 accepts that too."""
    even, odd = sample[0::2].count("\0"), sample[1::2].count("\0")
    if even + odd < 0.4 * len(sample):
        return None
    if even + odd > 0.8 * len(sample):
        return BINARY
    width = 32 if even + odd > 0.7 * len(sample) else 16
    # The first byte of the text is not NUL in little-endian order.
    order = "le" if (odd > even if width == 16 else sample[0] != "\0") else "be"
    share = (even + odd) / len(sample)
    what = f"UTF-{width} read as another encoding"
    return Misreading("wrong_encoding", what, f"{share:.0%} of it is NUL; give --encoding utf-{width}-{order}")


def _check_iso_2022(sample: str) -> Misreading | None:
    """Detect a 7-bit encoding in which escape sequences switch character sets."""
    if (found := _ISO_2022.search(sample)) is None:
        return None
    name = "iso-2022-kr" if found.group() == "\x1b$)C" else "iso-2022-jp"
    return Misreading("wrong_encoding", f"{name} read as another encoding", f"give --encoding {name}")


def _check_binary(sample: str) -> Misreading | None:
    if len(_CONTROL.findall(sample)) <= max(4, 0.01 * len(sample)):
        return None
    guess = guess_encoding(_as_bytes(sample)) if "\0" in sample else None
    return BINARY if guess is None else _read_as_latin_1(guess)


def _check_lost(sample: str) -> Misreading | None:
    return LOST if sample.count("\ufffd") > 0.02 * len(sample) else None


def _check_encoding(sample: str) -> Misreading | None:
    if sample.isascii():
        return None
    if is_mojibake(sample):
        return MOJIBAKE
    beyond = len(_BEYOND.findall(sample))
    has_controls = len(_C1.findall(sample)) > max(2, 0.0005 * len(sample), beyond)
    if not has_controls and not is_mostly_upper(sample):
        return None
    guess = guess_encoding(_as_bytes(sample))
    if guess is None or guess == "latin-1":
        what = "text in another encoding read as Latin-1"
        return Misreading("wrong_encoding", what, "find out which one, and give it with --encoding")
    return _read_as_latin_1(guess)


def _read_as_latin_1(encoding: str) -> Misreading:
    return Misreading("wrong_encoding", f"{encoding} read as Latin-1", f"read the source with --encoding {encoding}")


def is_mojibake(text: str) -> bool:
    """Return whether at least half of the upper characters of `text` are UTF-8 read one byte at a time."""
    garbled = sum(len(match.group()) for match in GARBLED.finditer(text))
    return garbled >= 6 and garbled >= len(_UPPER.findall(text)) / 2


def is_mostly_upper(text: str) -> bool:
    """Return whether `text` has more upper Latin-1 characters, and more distinct ones, than any language."""
    upper = _LATIN_1.findall(text)
    others = len(_ASCII_LETTER.findall(text)) + len(_BEYOND.findall(text))
    return len(set(upper)) > 12 and len(upper) > 0.4 * (len(upper) + others)


def _as_bytes(text: str) -> bytes:
    """Return the bytes that were read as Latin-1 or CP1252, without characters of neither."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return b"".join(one.encode("latin-1", "ignore") or one.encode("cp1252", "ignore") for one in text)


def _check_json(sample: str) -> Misreading | None:
    """Detect an object or array that is JSON as far as the sample goes, or several, one per line."""
    text = sample.lstrip("\ufeff \t\r\n")
    if text[:1] not in ("{", "["):
        return None
    lines = [line for line in split_lines(text) if line.strip()]
    if len(lines) > 1 and all(map(_is_json, lines[:-1] if len(lines) > 2 else lines)):  # the last may be cut short
        return JSON_TEXT
    try:
        _, end = json.JSONDecoder().raw_decode(text)
    except json.JSONDecodeError as error:
        unterminated = error.msg.startswith("Unterminated") and (error.pos > MIN_CHARACTERS or _JSON_HEAD.match(text))
        return JSON_TEXT if unterminated or error.pos >= len(text) - 8 else None
    except (ValueError, RecursionError):  # a number with thousands of digits, or brackets too deep
        return JSON_TEXT
    return JSON_TEXT if not text[end:].strip() else None


def _is_json(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict | list)
    except (ValueError, RecursionError):
        return False


def _check_table(sample: str) -> Misreading | None:
    """Detect distinct rows of equally many cells: two or more if tabs separate them or cells are quoted, else three.

    Commas followed by a space are those of sentences. Two columns are not a table if the first is a speaker's name,
    with a colon or in capitals, or a `#define`.
    """
    lines = [line for line in dict.fromkeys(split_lines(sample)[:-1][:200]) if line.strip()]
    if len(lines) < 10:
        return None
    for delimiter, name in _DELIMITERS.items():
        if sum(delimiter in line for line in lines) < 0.9 * len(lines):
            continue
        try:
            rows = list(csv.reader(map(str.lstrip, lines), delimiter=delimiter))  # lstrip: indentation is not a cell
        except csv.Error:
            continue
        (columns, number), *_ = Counter(map(len, rows)).most_common(1)
        if sum(field.startswith(" ") for row in rows for field in row[1:]) > sum(len(row) - 1 for row in rows) / 2:
            continue
        if columns == 2 and sum(map(_is_not_a_cell, (row[0] for row in rows))) > len(rows) / 2:
            continue
        quoted = sum(f'{delimiter}"' in line or line.startswith('"') for line in lines) > 0.1 * len(lines)
        if number >= 0.95 * len(rows) and columns >= (2 if delimiter == "\t" or quoted else 3):
            advice = (
                "separators and all columns are learned; rename the file to .csv or .tsv and choose a column with "
                "--field, or save that column alone"
            )
            if delimiter == "\t":
                advice += f"; {FOR_PAIRS}"
            return Misreading("table", f"a table of {columns} columns separated by {name}", advice)
    return None


def _is_not_a_cell(text: str) -> bool:
    """Return whether a text before a tab is a speaker's name or a preprocessor directive."""
    return text.rstrip().endswith(":") or text.startswith("#") or (len(text) > 2 and text.isupper())


def _check_markup(sample: str) -> Misreading | None:
    tags = len(_TAG.findall(sample))
    return MARKUP if tags > max(4, len(sample) / 500) or (tags > 2 and _MARKUP_HEAD.match(sample)) else None


class Order:
    """Count whether lines are in sorted order, by code points or ignoring case.

    Lines that start with a digit are ignored. Lines that start with the same word do not show an order: the lines of a
    log are sorted by their times.
    """

    MIN_PAIRS = 50
    SORTED_SHARE = 0.97

    def __init__(self) -> None:
        self.pairs = self._lines = self._sorted = self._sorted_folded = self._distinct_starts = 0
        self._last = ""

    def add(self, lines: Iterable[str]) -> None:
        """Compare each line with the line before it."""
        filled = [line for line in lines if line.strip()]
        self._lines += len(filled)
        for before, after in pairwise([self._last, *(line for line in filled if line[0].isalpha())]):
            if before:
                self.pairs += 1
                self._sorted += before <= after
                self._sorted_folded += before.casefold() <= after.casefold()
                self._distinct_starts += _first_word(before) != _first_word(after)
            self._last = after

    def end_document(self) -> None:
        """Start the next document: its first line is not compared."""
        self._last = ""

    @property
    def is_sorted(self) -> bool:
        """Whether enough lines are sorted, and start with different words, to exclude an accident."""
        enough = self.pairs >= max(self.MIN_PAIRS, self._lines / 2) and self._distinct_starts >= self.pairs / 5
        return enough and max(self._sorted, self._sorted_folded) >= self.SORTED_SHARE * self.pairs


def _first_word(line: str) -> str:
    """Return the first word of a line, up to a digit: `Nov` of `Nov29`, `item` of `item 7`."""
    return _SPACE_OR_DIGIT.split(line, maxsplit=1)[0]


def describe_misreading(samples: Iterable[tuple[int, str]], *, in_order: bool) -> str | None:
    """Return a clause on what a text looks like, by its samples; None if it is ordinary text.

    Args:
        samples: the number of a document and a sample of it; the first sample of a document is its start.
        in_order: whether the order of lines matters, because validation blocks are cut out of it.
    """
    starts: dict[int, Misreading | None] = {}
    detected: list[Misreading | None] = []
    for document, sample in samples:
        found = detect_misreading(sample)
        start = starts.setdefault(document, found)
        detected.append(start if found is None and start is JSON_TEXT else found)
        if in_order and detected[-1] is None and _is_sorted(sample):
            detected[-1] = SORTED
    misread = [found for found in detected if found is not None]
    for found in misread:
        share = sum(other.kind == found.kind for other in misread) / len(detected)
        if share >= (0.5 if found is SORTED else REPORTED_SHARE):
            part = "" if share == 1 else f" in {share:.0%} of the samples"
            return f"looks like {found.what}{part}: {found.advice}"
    return None


def _is_sorted(sample: str) -> bool:
    order = Order()
    order.add(split_lines(sample)[:-1])
    return order.is_sorted
