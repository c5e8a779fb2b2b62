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

from seqgen.sources.encodings import guess_encoding
from seqgen.sources.lines import split_lines

SAMPLE_CHARACTERS = 1 << 15
"""Characters of a piece that are looked at."""
SHORTEST = 100
"""Characters of a piece of which something can be said."""
WIDESPREAD = 0.1
"""Share of a text's pieces from which a note is worth it."""

_C1 = re.compile("[\x80-\x84\x86-\x9f]")
"""Controls that no text has, but for NEL, which some mainframes end lines with."""
_LATIN_1, _BEYOND = re.compile("[\x80-\xff]"), re.compile("[^\0-\xff]")
_ASCII_LETTER = re.compile("[A-Za-z]")
_ISO_2022 = re.compile(r"\x1b\$(?:[@B]|\)C)")
_CONTROL = re.compile("[\x01-\x07\x0e-\x1a\x1c-\x1f\x7f]")
"""Those that neither texts nor terminals have. NUL is not among them: it may part records."""
_AS_CP1252 = "€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ"
_UPPER = re.compile(f"[\x80-\xff{_AS_CP1252}]")
_TAIL = f"[\x80-\xbf{_AS_CP1252}]"
_AFTER_WORD = "[\xa0«»‹›“”„‘’‚…–—®™·•¡¿¹²³]"
"""Of the tails, what follows a letter in good text: a space, quotation marks, a dash, the number of a note."""
GARBLED = re.compile(
    f"[ÂÃ](?!{_AFTER_WORD}){_TAIL}|(?<![A-Z])[ÂÃ]{_TAIL}|[ÂÃ]{_TAIL}(?=[A-Za-z])"
    f"|(?:[\xc4-\xdf]{_TAIL}){{2,}}"
    f"|[\xe0-\xef](?!{_AFTER_WORD}{{2}}){_TAIL}{{2}}|[\xf0-\xf4](?!{_AFTER_WORD}{{3}}){_TAIL}{{3}}"
)
"""The bytes of UTF-8, read one by one as Latin-1 or CP1252: a first byte, and as many further ones as it announces.

Of the two-byte sequences that are no Latin-1 letters (Greek, Cyrillic, ...) two in a row are asked for: one could be
the end of a word in capitals before a quotation mark. Nor is such an end of other words taken for one: `bonté` before a
no-break space and a guillemet, `MANHÃ` before a guillemet.
"""
_TAG = re.compile(
    r"</[A-Za-z][\w:.-]*\s*>|<(?:br|hr|img|input|link|meta|p|li)\b[^<>]{0,999}>|<[a-z][^<>]{0,999}/>", re.IGNORECASE
)
"""Tags that close, and those that nothing closes: types and headers of program code have neither."""
_MARKUP_HEAD = re.compile(r"\s*<(?:!doctype\s+html|html|\?xml|svg)\b", re.IGNORECASE)
_JSON_HEAD = re.compile(r'\[?\s*\{\s*"[^"\n]{1,99}"\s*:')
_SPACE_OR_DIGIT = re.compile(r"[\s\d]")
_DELIMITERS = {"\t": "tabs", ",": "commas", ";": "semicolons", "|": "bars"}


@dataclass(frozen=True)
class Misreading:
    """What a text seems to be instead of what its user thinks, and what to do about it."""

    kind: str
    what: str
    advice: str

    def __str__(self) -> str:
        return f"{self.what}: {self.advice}"


SORTED = Misreading(
    "sorted_lines",
    "a list in sorted order",
    "neighbors are alike, so withheld blocks say little about new lines; shuffle the lines first, by shuf",
)
BINARY = Misreading("binary", "a binary file", "see that this is the right file")
MOJIBAKE = Misreading("mojibake", "UTF-8 read as Latin-1 or CP1252", "read the source with --encoding utf-8")
LOST = Misreading(
    "replacement_characters",
    "text in another encoding than it was read in",
    "much of it is U+FFFD, so go back to the source, decoded by its own encoding",
)
MARKUP = Misreading(
    "markup",
    "HTML or XML",
    "tags are learned like any text; name the file .html to read its text, or convert it to plain text first",
)
JSON_TEXT = Misreading(
    "json",
    "JSON",
    "braces and keys are learned like any text; name the file .json or .jsonl and choose what is read with --field",
)


def detect_misreading(piece: str) -> Misreading | None:
    """Return what `piece`, which begins with a line or a document, seems to be; None where it is ordinary text."""
    piece = piece[:SAMPLE_CHARACTERS]
    if len(piece) < SHORTEST:
        return None
    for look in (_utf_16, _escaped, _binary, _lost, _encoding, _json, _table, _markup):
        found = look(piece)
        if found is not None:
            return found
    return None


def _utf_16(piece: str) -> Misreading | None:
    """Every other character NUL, or three of four: ASCII in a wide encoding, which is UTF-8 as well."""
    even, odd = piece[0::2].count("\0"), piece[1::2].count("\0")
    if even + odd < 0.4 * len(piece):
        return None
    width = 32 if even + odd > 0.7 * len(piece) else 16
    # The first byte of the text is not NUL in little-endian order.
    order = "le" if (odd > even if width == 16 else piece[0] != "\0") else "be"
    share = (even + odd) / len(piece)
    what = f"UTF-{width} read as another encoding"
    return Misreading("wrong_encoding", what, f"{share:.0%} of it is NUL; give --encoding utf-{width}-{order}")


def _escaped(piece: str) -> Misreading | None:
    """An encoding of 7 bits, in which escape sequences switch character sets."""
    if (found := _ISO_2022.search(piece)) is None:
        return None
    name = "iso-2022-kr" if found.group() == "\x1b$)C" else "iso-2022-jp"
    return Misreading("wrong_encoding", f"{name} read as another encoding", f"give --encoding {name}")


def _binary(piece: str) -> Misreading | None:
    if len(_CONTROL.findall(piece)) <= max(4, 0.01 * len(piece)):
        return None
    guess = guess_encoding(_as_bytes(piece)) if "\0" in piece else None
    return BINARY if guess is None else _read_as_latin_1(guess)


def _lost(piece: str) -> Misreading | None:
    return LOST if piece.count("\ufffd") > 0.02 * len(piece) else None


def _encoding(piece: str) -> Misreading | None:
    if piece.isascii():
        return None
    if is_mojibake(piece):
        return MOJIBAKE
    beyond = len(_BEYOND.findall(piece))
    has_controls = len(_C1.findall(piece)) > max(2, 0.0005 * len(piece), beyond)
    if not has_controls and not is_mostly_upper(piece):
        return None
    guess = guess_encoding(_as_bytes(piece))
    if guess is None or guess == "latin-1":
        what = "text in another encoding read as Latin-1"
        return Misreading("wrong_encoding", what, "find out in which, and give it by --encoding")
    return _read_as_latin_1(guess)


def _read_as_latin_1(encoding: str) -> Misreading:
    return Misreading("wrong_encoding", f"{encoding} read as Latin-1", f"read the source with --encoding {encoding}")


def is_mojibake(text: str) -> bool:
    """Whether half of the upper characters of `text` or more are UTF-8 read one byte at a time."""
    garbled = sum(len(match.group()) for match in GARBLED.finditer(text))
    return garbled >= 6 and garbled >= len(_UPPER.findall(text)) / 2


def is_mostly_upper(text: str) -> bool:
    """Whether `text` has more characters of the upper half of Latin-1, and more different ones, than any language."""
    upper = _LATIN_1.findall(text)
    others = len(_ASCII_LETTER.findall(text)) + len(_BEYOND.findall(text))
    return len(set(upper)) > 12 and len(upper) > 0.4 * (len(upper) + others)


def _as_bytes(text: str) -> bytes:
    """The bytes that were read as Latin-1 or CP1252; characters of neither are left out."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return b"".join(one.encode("latin-1", "ignore") or one.encode("cp1252", "ignore") for one in text)


def _json(piece: str) -> Misreading | None:
    """An object or a list that is JSON as far as it is seen, or some of them, each a line."""
    text = piece.lstrip("\ufeff \t\r\n")
    if text[:1] not in ("{", "["):
        return None
    lines = [line for line in split_lines(text) if line.strip()]
    if len(lines) > 1 and all(map(_is_json, lines[:-1] if len(lines) > 2 else lines)):  # the last may be cut short
        return JSON_TEXT
    try:
        _, end = json.JSONDecoder().raw_decode(text)
    except json.JSONDecodeError as error:
        unterminated = error.msg.startswith("Unterminated") and (error.pos > SHORTEST or _JSON_HEAD.match(text))
        return JSON_TEXT if unterminated or error.pos >= len(text) - 8 else None
    except (ValueError, RecursionError):  # a number of thousands of digits, or lists in lists in lists
        return JSON_TEXT
    return JSON_TEXT if not text[end:].strip() else None


def _is_json(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict | list)
    except (ValueError, RecursionError):
        return False


def _table(piece: str) -> Misreading | None:
    """Different rows of as many fields: two where tabs separate them or fields are quoted, else three or more.

    Where a space follows each comma they are those of sentences.
    Two columns are none where the first is a speaker's name with a colon, or a `#define`.
    """
    lines = [line for line in dict.fromkeys(split_lines(piece)[:-1][:200]) if line.strip()]
    if len(lines) < 10:
        return None
    for delimiter, name in _DELIMITERS.items():
        if sum(delimiter in line for line in lines) < 0.9 * len(lines):
            continue
        try:
            rows = list(csv.reader(map(str.lstrip, lines), delimiter=delimiter))  # or tabs that indent would part
        except csv.Error:
            continue
        (columns, number), *_ = Counter(map(len, rows)).most_common(1)
        if sum(field.startswith(" ") for row in rows for field in row[1:]) > sum(len(row) - 1 for row in rows) / 2:
            continue
        no_cells = sum(row[0].rstrip().endswith(":") or row[0].startswith("#") for row in rows)
        if columns == 2 and no_cells > len(rows) / 2:
            continue
        quoted = sum(f'{delimiter}"' in line or line.startswith('"') for line in lines) > 0.1 * len(lines)
        if number >= 0.95 * len(rows) and columns >= (2 if delimiter == "\t" or quoted else 3):
            advice = (
                "separators and all columns are learned; name the file .csv or .tsv and choose a column with --field, "
                "or save that column alone"
            )
            return Misreading("table", f"a table of {columns} columns separated by {name}", advice)
    return None


def _markup(piece: str) -> Misreading | None:
    tags = len(_TAG.findall(piece))
    return MARKUP if tags > max(4, len(piece) / 500) or (tags > 2 and _MARKUP_HEAD.match(piece)) else None


class Order:
    """Whether lines come in sorted order, by code points or without regard to case.

    Lines that begin with a digit are left out. Those that begin alike rise by what follows, as a log does by its time.
    """

    FEWEST = 50
    SHARE = 0.97

    def __init__(self) -> None:
        self.pairs = self._lines = self._rising = self._rising_folded = self._begin_apart = 0
        self._last = ""

    def add(self, lines: Iterable[str]) -> None:
        """Compare lines, each with the one before it."""
        there = [line for line in lines if line.strip()]
        self._lines += len(there)
        for before, after in pairwise([self._last, *(line for line in there if line[0].isalpha())]):
            if before:
                self.pairs += 1
                self._rising += before <= after
                self._rising_folded += before.casefold() <= after.casefold()
                self._begin_apart += _beginning(before) != _beginning(after)
            self._last = after

    def end_document(self) -> None:
        """The next line has none before it."""
        self._last = ""

    @property
    def is_sorted(self) -> bool:
        """Whether so many lines rise, and begin with different words, that it is no accident."""
        enough = self.pairs >= max(self.FEWEST, self._lines / 2) and self._begin_apart >= self.pairs / 5
        return enough and max(self._rising, self._rising_folded) >= self.SHARE * self.pairs


def _beginning(line: str) -> str:
    """The first word of a line, up to a digit: of `Nov29` and `item 7` what all such lines have."""
    return _SPACE_OR_DIGIT.split(line, maxsplit=1)[0]


def describe_misreading(pieces: Iterable[tuple[int, str]], *, in_order: bool) -> str | None:
    """Return in a clause what a text looks like of which these are pieces; None where it is ordinary text.

    Args:
        pieces: the number of a document and a piece of it; the first of each begins the document.
        in_order: whether its lines' order matters, since what is withheld is a stretch of them.
    """
    heads: dict[int, Misreading | None] = {}
    judged: list[Misreading | None] = []
    for document, piece in pieces:
        found = detect_misreading(piece)
        begun_as = heads.setdefault(document, found)
        judged.append(begun_as if found is None and begun_as is JSON_TEXT else found)
        if in_order and judged[-1] is None and _is_sorted(piece):
            judged[-1] = SORTED
    misread = [found for found in judged if found is not None]
    for found in misread:
        share = sum(other.kind == found.kind for other in misread) / len(judged)
        if share >= (0.5 if found is SORTED else WIDESPREAD):
            part = "" if share == 1 else f" in {share:.0%} of the places looked at"
            return f"looks like {found.what}{part}: {found.advice}"
    return None


def _is_sorted(piece: str) -> bool:
    order = Order()
    order.add(split_lines(piece)[:-1])
    return order.is_sorted
