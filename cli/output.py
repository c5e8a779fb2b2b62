"""Where things go: the product to stdout, progress and notices to stderr."""

from __future__ import annotations

import contextlib
import json
import re
import sys
from collections.abc import Iterable, Sequence
from typing import IO, TYPE_CHECKING, Any, cast

from seqgen.sources.lines import with_lf

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

WIDE = 10_000
"""Columns where there is no terminal: a row stays a line."""
PAGE = 100
"""The same for what is read rather than cut up by a program: prose in tables, lists in a row."""

# What a terminal would act on: C0 less tab and newline, DEL, C1.
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\t\n"}
_CONTROLS |= {0xDC00 + byte: f"\\x{byte:02x}" for byte in range(0x80, 0x100)}  # as Python marks it in a file's name
_BYTES = {byte: f"\\x{byte:02x}" for byte in (*range(0x20), *range(0x7F, 0x100)) if byte != ord("\n")}


def stderr() -> Console:
    """A console on stderr that never reads what it is given as markup."""
    from rich.console import Console

    return Console(file=cast("IO[str]", _Stderr()), markup=False, highlight=False, emoji=False)


class _Stderr:
    """stderr as it is at each call. What it no longer takes is not said: a log that is full, a reader that has gone or
    a terminal that was closed ends no work.
    """

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            self._real.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._real.flush()

    @property
    def _real(self) -> Any:
        """stderr itself, where a live display of rich has put something else in its place."""
        return getattr(sys.stderr, "rich_proxied_file", sys.stderr)

    def __getattr__(self, name: str) -> Any:
        if name == "rich_proxied_file":  # by which rich would write past this
            raise AttributeError(name)
        return getattr(self._real, name)


def print_line(console: Console, line: str | Text) -> None:
    """A line of prose: broken between words on a terminal, which would break it within one; elsewhere as it is."""
    if console.is_terminal:
        console.print(line, overflow="fold")
    else:
        console.print(line, soft_wrap=True)


def stdout(piped_width: int = WIDE) -> Console:
    """A console on stdout, for tables. In a pipe it is as wide as they are, or `piped_width` columns."""
    from rich.console import Console

    class Output(Console):
        def on_broken_pipe(self) -> None:  # rich's own ends the program with 1
            raise BrokenPipeError

    console = Output(markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = piped_width
    return console


def notice(message: str, *, quiet: bool = False) -> None:
    """Something the user should know, on stderr."""
    if not quiet:
        from rich.text import Text

        print_line(stderr(), Text(f"note: {printable(message)}", style="yellow"))


def notice_pipes(names: Sequence[str], *, quiet: bool = False) -> None:
    """That a text is a pipe, which is waited for without end where nobody writes."""
    from seqgen.sources.source import pipe_notice

    if (message := pipe_notice(names)) is not None:
        notice(message, quiet=quiet)


def write_json(value: Any) -> None:
    """One JSON document on stdout."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    # A name of a file that is not UTF-8 has half characters, which JSON can spell and UTF-8 cannot hold.
    sys.stdout.write(re.sub("[\ud800-\udfff]", lambda half: f"\\u{ord(half[0]):04x}", text) + "\n")


def write_text(text: str, *, raw: bool = False) -> None:
    """Text that a model or a user made, at once: control characters are escaped on a terminal, left alone in a pipe.

    Of `raw` text each character is a byte, which a pipe gets as it is.
    """
    if sys.stdout.isatty():
        sys.stdout.write(printable_bytes(text) if raw else printable(text))
    elif raw:
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode("latin-1"))
    else:
        sys.stdout.write(text)
    sys.stdout.flush()


def write_stream(pieces: Iterable[str], *, raw: bool = False) -> None:
    """Text as it is made, each piece at once, but never half of what a reader takes for one character."""
    from seqgen.generation.graphemes import whole_graphemes

    if raw:
        for piece in pieces:
            write_text(piece, raw=True)
        return
    for piece in whole_graphemes(pieces):
        write_text(piece)


def tokenizer_name(kind: str, normalization: str) -> str:
    """What a tokenizer is called in a table: char, or where it normalizes char/nfd."""
    return kind if normalization == "none" else f"{kind}/{normalization}"


def size_in_words(number: int) -> str:
    """Bytes as a table shows them: 12.3 MB."""
    return f"{number / 1e6:,.1f} MB" if number >= 1e5 else f"{number / 1e3:,.1f} kB"


def printable(text: str) -> str:
    """`text` with control characters written out, so that a terminal shows them and does not obey them; and bytes of a
    file's name that are not UTF-8.

    Every line end becomes a newline: a carriage return would write the next line over this one.
    """
    return with_lf(text).translate(_CONTROLS)


def printable_bytes(text: str) -> str:
    """The bytes that the characters of `text` are, written out unless they are printable ASCII or a newline."""
    return text.translate(_BYTES)
