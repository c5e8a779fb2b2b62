"""Output: the product to stdout, progress and notices to stderr."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from seqgen.errors import ConfigError, RunError, SaveError
from seqgen.pages.chart_file import PICTURE_SUFFIXES
from seqgen.sources.lines import with_lf

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

WIDE = 10_000
"""Width of tables without a terminal, so that each row stays on one line."""
PAGE = 100
"""The same for tables of prose, which people read and programs do not."""
LEAST_TEXT = 20
"""Columns of text in a table on a narrow terminal."""

# Control characters that a terminal would obey: C0 without tab and newline, DEL, C1.
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\t\n"}
_CONTROLS |= {0xDC00 + byte: f"\\x{byte:02x}" for byte in range(0x80, 0x100)}  # bytes of a file name that are not UTF-8
_BYTES = {byte: f"\\x{byte:02x}" for byte in (*range(0x20), *range(0x7F, 0x100)) if byte != ord("\n")}


def stderr() -> Console:
    """Return a console on stderr without markup."""
    from rich.console import Console

    return Console(file=cast("IO[str]", _Stderr()), markup=False, highlight=False, emoji=False)


class _Stderr:
    """The current `sys.stderr`, whose failures are ignored: a full disk, a closed pipe or terminal ends no training."""

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            self._real.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._real.flush()

    @property
    def _real(self) -> Any:
        """stderr itself, also while a live display of rich replaces it."""
        return getattr(sys.stderr, "rich_proxied_file", sys.stderr)

    def __getattr__(self, name: str) -> Any:
        if name == "rich_proxied_file":  # rich would bypass this class
            raise AttributeError(name)
        return getattr(self._real, name)


def print_line(console: Console, line: str | Text) -> None:
    """Print a line of prose; break it between words on a terminal, and nowhere elsewhere."""
    if console.is_terminal:
        console.print(line, overflow="fold")
    else:
        console.print(line, soft_wrap=True)


def stdout(piped_width: int = WIDE) -> Console:
    """Return a console on stdout, for tables; in a pipe it is `piped_width` columns wide."""
    from rich.console import Console

    class Output(Console):
        def on_broken_pipe(self) -> None:  # rich's own ends the program with 1
            raise BrokenPipeError

    console = Output(markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = piped_width
    return console


def print_table(console: Console, table: Table, longest: int | None = None) -> None:
    """Print a table whose last column is text, without blanks at the ends of its lines.

    The text has the columns of the terminal that the figures leave; in a pipe it has at most `longest`.
    """
    from rich.text import Text

    text = table.columns[-1]
    text.max_width = 1
    others = _width(console, table) - 1
    text.max_width = max(console.width - others, LEAST_TEXT) if console.is_terminal else longest
    for segments in console.render_lines(table, pad=False):
        line = Text.assemble(*((one.text, one.style or "") for one in segments))
        line.rstrip()
        console.print(line, soft_wrap=True)


@dataclass(frozen=True)
class FittedTable:
    """A table, the columns that it leaves out, and whether it fits the console then."""

    table: Table
    left_out: list[str]
    fits: bool


def fit_table(
    console: Console,
    columns: Sequence[str],
    rows: Sequence[Mapping[str, str]],
    *,
    figures: Collection[str],
    left_out_first: Sequence[str],
) -> FittedTable:
    """Return a table of `rows` with as many of `columns` as the console has room for.

    Args:
        console: where it is to be printed.
        columns: in their order; each row has a cell for each.
        rows: the cells by column.
        figures: the columns of numbers, which are set to the right.
        left_out_first: the columns that may be left out, in this order.
    """
    left_out: list[str] = []
    table = _table(columns, rows, figures)
    for name in (one for one in left_out_first if one in columns):
        if _width(console, table) <= console.width:
            break
        left_out.append(name)
        table = _table([column for column in columns if column not in left_out], rows, figures)
    return FittedTable(table, left_out, _width(console, table) <= console.width)


def _table(columns: Sequence[str], rows: Sequence[Mapping[str, str]], figures: Collection[str]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in columns:
        is_figure = name in figures
        # Where there is no room, long names are broken, and figures are not.
        whole = is_figure and len(name) <= max((len(row[name]) for row in rows), default=0)
        table.add_column(name, justify="right" if is_figure else "left", overflow="fold", no_wrap=whole)
    for row in rows:
        table.add_row(*(row[name] for name in columns))
    return table


def _width(console: Console, table: Table) -> int:
    """Return the columns of the terminal that a table needs."""
    return console.measure(table, options=console.options.update(width=WIDE)).maximum


def notice(message: str, *, quiet: bool = False) -> None:
    """Print a note on stderr."""
    if not quiet:
        from rich.text import Text

        print_line(stderr(), Text(f"note: {printable(message)}", style="yellow"))


def check_out(out: str | None, suffixes: Sequence[str], setting: str = "out") -> Path | None:
    """Return the path of --out, or of another setting, before the work for it.

    Raises:
        ConfigError: its ending is not one of `suffixes`, or matplotlib, which draws pictures, is not installed.
        SaveError: its folder is missing or not writable, or it is a folder itself.
    """
    if out is None:
        return None
    path = Path(out)
    if path.suffix.lower() not in suffixes:
        raise ConfigError(f"{setting}: {out or 'the name'} does not end in {_endings(suffixes)}; change it")
    _check_folder(path, "name")
    if path.exists() and not path.is_file():
        kind = "a folder" if path.is_dir() else "a pipe or a device"
        raise SaveError(f"{out} cannot be written: it is {kind}; change the name")
    if path.suffix.lower() in PICTURE_SUFFIXES:
        from seqgen.pages.picture import check_picture

        check_picture(path)
    return path


def check_new(out: str, option: str = "name") -> Path:
    """Return the path of a file that replaces no other, before the work for it; `option` is what names it in errors.

    Raises:
        ConfigError: the name is empty, or - for stdout.
        RunError: it exists.
        SaveError: its folder is missing or not writable.
    """
    if out in {"", "-"}:
        problem = "a file is written, not stdout" if out else "the name is empty"
        raise ConfigError(f"out: {problem}; name a new file")
    path = Path(out)
    if path.exists():
        raise RunError(f"{out} exists already; choose another {option}, or remove it")
    _check_folder(path, option)
    return path


def _check_folder(path: Path, option: str) -> None:
    """Refuse a file whose folder is missing or not writable."""
    if not path.parent.is_dir():
        problem, advice = "missing", f"make it, or choose another {option}"
    elif not os.access(path.parent, os.W_OK):
        problem, advice = "not writable", f"choose another {option}"
    else:
        return
    raise SaveError(f"{path} cannot be written: the folder {path.parent} is {problem}; {advice}")


def _endings(suffixes: Sequence[str]) -> str:
    *first, last = suffixes
    return f"{', '.join(first)} or {last}" if first else last


def notice_written(path: str | Path, *, quiet: bool = False) -> None:
    """Note which file a command has written."""
    notice(f"written: {path}", quiet=quiet)


def notice_pipes(names: Sequence[str], *, quiet: bool = False) -> None:
    """Note that a text is a pipe, which is waited for until its writer closes it."""
    from seqgen.sources.names import pipe_notice

    if (message := pipe_notice(names)) is not None:
        notice(message, quiet=quiet)


def write_json(value: Any) -> None:
    """Print one JSON document on stdout, and flush."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    # A file name that is not UTF-8 has lone surrogates, which JSON can escape and UTF-8 cannot hold.
    sys.stdout.write(re.sub("[\ud800-\udfff]", lambda half: f"\\u{ord(half[0]):04x}", text) + "\n")
    sys.stdout.flush()


def write_text(text: str, *, raw: bool = False) -> None:
    """Write text and flush; escape its control characters on a terminal, but not in a pipe.

    Each character of `raw` text is a byte; a pipe receives the bytes.
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
    """Write each piece of a text at once, but never half of a grapheme."""
    from seqgen.generation.graphemes import whole_graphemes

    if raw:
        for piece in pieces:
            write_text(piece, raw=True)
        return
    for piece in whole_graphemes(pieces):
        write_text(piece)


def tokenizer_name(kind: str, normalization: str) -> str:
    """Return the name of a tokenizer in tables: char, or with a normalization char/nfd."""
    return kind if normalization == "none" else f"{kind}/{normalization}"


def size_in_words(number: int) -> str:
    """Return a number of bytes as tables show it: 12.3 MB."""
    return f"{number / 1e6:,.1f} MB" if number >= 1e5 else f"{number / 1e3:,.1f} kB"


def clock(seconds: float) -> str:
    """Return seconds as 1:05 or 1:01:05."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def printable(text: str) -> str:
    """Escape control characters, which a terminal would obey, and bytes of a file name that are not UTF-8.

    Every line end becomes a newline: a carriage return would write the next line over this one.
    """
    return with_lf(text).translate(_CONTROLS)


def printable_bytes(text: str) -> str:
    """Escape the bytes that the characters of `text` are, except printable ASCII and newlines."""
    return text.translate(_BYTES)
