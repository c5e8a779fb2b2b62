"""Words with a vector each, and the text format of word2vec, GloVe and fastText. No torch.

A file has a line per word: the word and D numbers, separated by spaces. word2vec writes a first line `V D`; GloVe
does not.
"""

from __future__ import annotations

import codecs
import functools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from seqgen.errors import SaveError, TextError
from seqgen.utils.files import open_regular_file, write_atomically
from seqgen.utils.text import plural, singular_or_plural

Matrix: TypeAlias = npt.NDArray[np.float32]

MAX_LINE_BYTES = 1 << 20
"""A line of a real file has 300 to 10,000 bytes."""
SHOWN_BYTES = 40
"""Of a field that is not a number, in a message."""
_HEADER = re.compile(rb"[0-9]{1,18} [0-9]{1,18}")


@dataclass(frozen=True, eq=False)
class WordVectors:
    """Words and their vectors [V, D], float32; `counts` are the words' occurrences in the training text, if known."""

    words: Sequence[str]
    vectors: Matrix
    counts: Sequence[int] | None = None

    def __post_init__(self) -> None:
        """Check that every word has a vector, and a count where there are counts."""
        lengths = {len(self.words), len(self.vectors)} | ({len(self.counts)} if self.counts is not None else set())
        if len(lengths) > 1 or self.vectors.ndim != 2:
            raise ValueError(f"{len(self.words)} words with vectors of shape {self.vectors.shape}, counts {lengths}")

    @functools.cached_property
    def index(self) -> dict[str, int]:
        """The row of each word."""
        return {word: row for row, word in enumerate(self.words)}

    def __len__(self) -> int:
        return len(self.words)

    @property
    def size(self) -> int:
        """The number of dimensions."""
        return int(self.vectors.shape[1])


def read_text(path: Path, note: Callable[[str], None] = lambda _: None) -> WordVectors:
    """Read vectors in the text format, with or without its first line `V D`.

    Of several lines with the same word, as a few published files have, the first counts; `note` receives a sentence
    with the number of the others.

    Raises:
        TextError: the file cannot be read or is not in this format; the message names the line.
    """
    rows: dict[str, Matrix] = {}
    promised, size, found = None, None, 0
    for number, line in _read_lines(path):
        if number == 1 and _HEADER.fullmatch(line):
            promised, size = map(int, line.split())
            continue
        word, row = _parse(f"{path}: line {number}", line, size)
        size = len(row)
        rows.setdefault(word, row)
        found += 1
    if promised is not None and promised != found:
        hint = "the file is cut off" if found < promised else "correct line 1, or remove it"
        follow = singular_or_plural(found, "line follows", "lines follow")
        raise TextError(f"{path}: line 1 says {plural(promised, 'word')}, but {found:,} {follow}; {hint}")
    if not rows:
        raise TextError(f"{path}: it has no words; a line should be a word and its numbers, separated by spaces")
    if repeated := found - len(rows):
        why = singular_or_plural(
            repeated, "is left out, because its word is in an earlier line",
            "are left out, because their words are in earlier lines",
        )  # fmt: skip
        note(f"{plural(repeated, 'line')} of {path} {why}")
    return WordVectors(list(rows), np.stack(list(rows.values())))


def _read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the number and the content of each line, without the line end and the space that word2vec writes there."""
    try:
        with open_regular_file(path) as file:
            number = 0
            while line := file.readline(MAX_LINE_BYTES):
                number += 1
                if len(line) == MAX_LINE_BYTES:
                    raise TextError(
                        f"{path}: line {number} has more than {MAX_LINE_BYTES:,} bytes; this is not a file of vectors "
                        "in text format"
                    )
                yield number, (line.removeprefix(codecs.BOM_UTF8) if number == 1 else line).rstrip(b" \r\n")
    except OSError as error:
        raise TextError(f"{path} cannot be read: {error.strerror or error}") from error


def _parse(where: str, line: bytes, size: int | None) -> tuple[str, Matrix]:
    """Return the word and the vector of a line; `size` is the length of the vectors, if it is known.

    A word may contain spaces, as a few of GloVe do, but what follows a space must not be a number: then the line has
    too many numbers.
    """
    fields = line.split(b" ") if b"\t" not in line else line.split()
    first = 1 if size is None else max(len(fields) - size, 0)
    parts, numbers = fields[:first], fields[first:]
    try:
        word = b" ".join(parts).decode()
    except UnicodeDecodeError as error:
        raise TextError(
            f"{where} is not valid UTF-8; vectors in binary format and compressed files cannot be read, so convert or "
            "unpack them"
        ) from error
    if not word or not numbers or any(not part or _is_number(part) for part in parts[1:]):
        wanted = "its numbers" if size is None else f"{plural(size, 'number')} (see line 1)"
        raise TextError(
            f"{where} should be a word and {wanted}, separated by spaces, but has {plural(len(fields), 'field')}; "
            "correct or remove this line"
        )
    try:
        with np.errstate(over="ignore"):  # becomes infinity, which is refused below
            row = np.array([float(field) for field in numbers], dtype=np.float32)
    except ValueError as error:
        wrong = next(field for field in numbers if not _is_number(field))
        shown = wrong[:SHOWN_BYTES].decode(errors="backslashreplace")
        raise TextError(
            f"{where} should be a word and its numbers, separated by spaces, but {shown!r} is not a number"
        ) from error
    if not np.isfinite(row).all():
        raise TextError(f"{where} contains NaN or infinity; correct or remove this line")
    return word, row


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def write_text(path: Path, vectors: WordVectors) -> None:
    """Write vectors in word2vec's text format, atomically; reading them returns the same numbers.

    Raises:
        SaveError: a word is empty or contains white space, which the format cannot hold, or the file cannot be written.
    """
    for word in vectors.words:
        if word.split() != [word]:
            raise SaveError(
                f"{path}: the text format cannot hold the word {word!r}, which contains white space or is empty; leave "
                "it out"
            )
    write_atomically(path, _format(vectors))


def _format(vectors: WordVectors) -> Iterator[bytes]:
    yield f"{len(vectors)} {vectors.size}\n".encode()
    for word, row in zip(vectors.words, vectors.vectors, strict=True):
        yield f"{word} {' '.join(map(str, row))}\n".encode()
