"""Options that several commands share."""

from __future__ import annotations

import sys
from typing import Annotated, Any, Literal

import typer

RunOption = Annotated[
    str | None, typer.Option("--run", metavar="DIR", help="The run's directory.", show_default="the newest under runs/")
]
DeviceOption = Annotated[str, typer.Option("--device", help="Device: auto, cpu, cuda, cuda:1, ...")]
ThreadsOption = Annotated[int | None, typer.Option("--threads", help="CPU threads.", show_default="all")]
EncodingOption = Annotated[
    str, typer.Option("--encoding", help="Text encoding: utf-8, cp949, ...; bytes reads raw bytes.")
]
OfTheModelOption = Annotated[
    str | None,
    typer.Option("--encoding", help="Text encoding: utf-8, cp949, ...", show_default="utf-8; bytes as trained"),
]
NormalizationOption = Annotated[
    Literal["none", "nfc", "nfd"] | None,
    typer.Option(
        "--normalization",
        help="Unicode normalization form of the text; nfd splits Hangul into jamo.",
        show_default="none",
    ),
]
ErrorsOption = Annotated[
    Literal["strict", "replace", "ignore"],
    typer.Option("--errors", help="Invalid bytes: refuse the text, replace them by U+FFFD, or leave them out."),
]
GlobOption = Annotated[
    list[str] | None,
    typer.Option(
        "--glob",
        help="Which files of a folder or archive to read: {txt,md} is either; may be repeated.",
        show_default="*.txt",
    ),
]
ExcludeOption = Annotated[
    list[str] | None, typer.Option("--exclude", help="Files or folders to leave out: a pattern or a folder's name.")
]
FieldOption = Annotated[
    str | None,
    typer.Option(
        "--field",
        help="Which CSV column or JSON field is the text: body, user.name, messages[].content.",
        show_default="text",
    ),
]
BadLineOption = Annotated[
    Literal["refuse", "skip"] | None,
    typer.Option(
        "--on-bad-line",
        help="Lines and rows that are malformed or lack the field: refuse the file, or skip and count them.",
        show_default="refuse",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print only errors to stderr.")]


def read_stdin(encoding: str, where: str) -> str:
    """All of stdin as text.

    Raises:
        TextError: it is closed, or is not text in `encoding`.
    """
    from seqgen.errors import TextError
    from seqgen.sources.text import decode_text

    if sys.stdin is None:
        raise TextError(f"{where} cannot be read: stdin is closed; give it as an argument or a file")
    return decode_text(sys.stdin.buffer.read(), encoding, where)


def as_text(argument: str, where: str) -> str:
    """An argument that is text; Python marks each byte of it that is not UTF-8 by a lone surrogate.

    Raises:
        TextError: it has such a byte; the message has the offset.
    """
    from seqgen.errors import TextError

    try:
        argument.encode()
    except UnicodeEncodeError as error:
        byte = ord(argument[error.start]) - 0xDC00
        shown = f" (0x{byte:02x})" if 0x80 <= byte <= 0xFF else ""
        offset = len(argument[: error.start].encode())
        raise TextError(f"{where} is not utf-8 at byte {offset}{shown}; convert it to UTF-8 first") from error
    return argument


def as_vocab_size(size: str | None) -> int | str | None:
    """`--vocab-size`: a number, or `auto`.

    Raises:
        ConfigError: it is neither.
    """
    from seqgen.errors import ConfigError

    if size is None or size == "auto":
        return size
    if not (size.isdecimal() and len(size) < 10):
        raise ConfigError(f"vocab_size: should be a number or auto, not {size!r}")
    return int(size)


def drop_none(**options: Any) -> dict[str, Any]:
    """The options that were given: those that are not None, and what may be given again at least once."""
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
    return {name: value for name, value in values.items() if value not in {None, ()}}
