"""The options of the commands: those made from the settings of the configs, and those that several commands share."""

from __future__ import annotations

import functools
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast, get_args, get_origin

import typer
from seqgen.cli.output import notice

from seqgen.config import Setting, settings_of
from seqgen.errors import ConfigError, TextError
from seqgen.sources.config import BYTES, Reading
from seqgen.tokenizers.config import TokenizerConfig
from seqgen.training.config import FitConfig

if TYPE_CHECKING:
    from io import BufferedReader

    from seqgen.data.config import DataConfig

RunOption = Annotated[
    str | None,
    typer.Option("--run", metavar="DIR", help="Directory of the run.", show_default="the newest under runs/"),
]
RunArgument = Annotated[
    str | None, typer.Argument(metavar="RUN", help="Directory of the run.", show_default="the newest under runs/")
]
TEXTS = (
    "Text files, .jsonl .json .csv .tsv .html .epub, folders, .zip .tar, - for stdin, corpus:NAME; also .gz .bz2 .xz "
    ".zst."
)
TextsArgument = Annotated[list[str], typer.Argument(metavar="TEXT", help=TEXTS)]
TrainingTextsArgument = Annotated[
    list[str] | None, typer.Argument(metavar="TEXT", help=TEXTS, show_default="corpus:pydoc, embedded")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as one JSON document.")]
JsonLinesOption = Annotated[bool, typer.Option("--json", help="Print each result as a JSON object in its own line.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print only errors to stderr.")]
_FILE_NAME = re.compile(r"\S+\.[A-Za-z]\w{0,5}")
BATCH_LINES = 1 << 10
"""Lines of a file that are handed on together."""
BLOCK_BYTES = 1 << 16
"""Bytes of stdin that are read at once, if as many have come: as many as a pipe holds."""
LAST = ("json", "quiet")
"""Options that help shows after all others of their panel."""


def machine_settings(group: str) -> dict[str, Setting]:
    """Return the settings of the machine, for the panel `group` of a command that does not train."""
    found = settings_of(FitConfig)
    return {
        "device": found["device"]._replace(group=group),
        "threads": found["threads"]._replace(group=group, shown="all"),
    }


def reading_settings(*, pairs: bool = False) -> dict[str, Setting]:
    """Return the settings by which a command reads texts, or pairs too, for a run; the run has those not given."""
    found = settings_of(Reading)
    for name in ("task", *(() if pairs else ("source_field", "target_field"))):
        del found[name]
    found["documents"] = found["documents"]._replace(shown="as the run")
    found["encoding"] = found["encoding"]._replace(shown="utf-8; bytes as trained")
    return found


def with_settings(
    settings: Mapping[str, Setting], *, main: Sequence[str] = ()
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make an option of each of `settings`, in place of a command's `**settings`, which receives those that are given.

    The options named in `main` are in the first panel of the help, in that order; the others in a panel by group.
    """
    ordered = sorted(settings.values(), key=lambda one: main.index(one.name) if one.name in main else len(main))
    made = [_parameter(one, panel=None if one.name in main else one.group) for one in ordered]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        own = [
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for parameter in signature.parameters.values()
            if parameter.kind is not inspect.Parameter.VAR_KEYWORD
        ]

        @functools.wraps(command)
        def run(**arguments: Any) -> None:
            given = {name: arguments.pop(name) for name in settings}
            command(**arguments, **{name: value for name, value in given.items() if value not in (None, [])})

        first, last = [one for one in own if one.name not in LAST], [one for one in own if one.name in LAST]
        run.__signature__ = signature.replace(parameters=[*first, *made, *last])  # type: ignore[attr-defined]
        return run

    return decorate


def _parameter(setting: Setting, panel: str | None) -> inspect.Parameter:
    """Return the keyword parameter that typer makes the option of; None means that the option is not given."""
    kind, choices = _typed(setting)
    negated = f"/--no-{setting.option.removeprefix('--')}" if setting.types == (bool,) and setting.default else ""
    option = typer.Option(
        setting.option + negated,
        help=setting.description,
        show_default=setting.shown or False,
        metavar=setting.metavar,
        rich_help_panel=panel,
        autocompletion=(lambda incomplete: [one for one in choices if one.startswith(incomplete)]) if choices else None,
    )
    annotation = Annotated[kind | None, option]  # type: ignore[valid-type]
    return inspect.Parameter(setting.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _typed(setting: Setting) -> tuple[Any, list[str]]:
    """Return the type that typer reads an option as, and the values of a string that shells can complete."""
    if setting.repeatable:
        return list[str], []
    first = setting.types[0]
    if len(setting.types) == 1 and (first in {bool, int, float} or get_origin(first) is Literal):
        return first, []
    return str, [choice for one in setting.types if get_origin(one) is Literal for choice in get_args(one)]


def pick(settings: dict[str, Any], *names: str) -> dict[str, Any]:
    """Remove the settings called `names` from `settings`, as far as they are given, and return them."""
    return {name: settings.pop(name) for name in names if name in settings}


NEEDS_A_TEXT = "it has no effect without a text; name one, or leave it out"
FOR_FILES_ONLY = "it applies to stdin and files; leave it out"


def refuse_reading(reading: Mapping[str, Any], why: str) -> None:
    """Refuse settings of reading where no file is read.

    Raises:
        ConfigError: one was given; the message names it and says why.
    """
    if reading:
        raise ConfigError(f"{next(iter(reading))}: {why}")


def tokenizer_config(settings: dict[str, Any]) -> tuple[TokenizerConfig, dict[str, Any]]:
    """Return the config of the tokenizer that is to be built, and the other settings.

    Raises:
        ConfigError: a setting is impossible.
    """
    raw = settings.get("encoding") == BYTES
    kind = settings.get("tokenizer", "byte" if raw else "char")
    own = {name: value for name, value in settings.items() if name in TokenizerConfig.model_fields}
    rest = {name: value for name, value in settings.items() if name not in own and name != "tokenizer"}
    return TokenizerConfig.of(kind=kind, raw=raw, **own), rest


def read_stdin(encoding: str, where: str) -> str:
    """Read all of stdin as text.

    Raises:
        TextError: stdin is closed, or is not text in `encoding`.
    """
    from seqgen.sources.decoding import decode_text

    if sys.stdin is None:
        raise TextError(f"{where} cannot be read: stdin is closed; give it as an argument or a file")
    return decode_text(sys.stdin.buffer.read(), encoding, where)


def texts_of(
    argument: str, where: str, reading: Mapping[str, Any], data: DataConfig, *, quiet: bool
) -> tuple[Iterator[list[str]], bool]:
    """Return the texts of an argument in batches, and whether it is a single text itself.

    An argument that is neither - nor a file is the text itself. Each of its lines is a text, as in a file, unless a
    text of `data`, which the run was trained on, may have had several lines.

    Raises:
        ConfigError: it is a file of pairs by its suffix, or a text itself, to which `reading` does not apply.
        TextError: it is empty or cannot be read.
    """
    from seqgen.sources.lines import split_lines
    from seqgen.sources.names import sides_are_lines

    if not is_text(argument, where, quiet=quiet):
        return _line_batches(argument, reading), False
    refuse_reading(reading, FOR_FILES_ONLY)
    text = as_text(argument, where)
    texts = split_lines(text) if sides_are_lines(data.text, data) else [text]
    if len(texts) > 1 and not texts[-1]:  # after the last line end
        texts.pop()
    return iter([texts]), len(texts) == 1


def _line_batches(source: str, reading: Mapping[str, Any]) -> Iterator[list[str]]:
    """Yield the lines of a file, or those of stdin as many at a time as have come."""
    from seqgen.sources.config import STDIN, Reading
    from seqgen.sources.content import suffixes_of
    from seqgen.sources.formats.pairs import READERS
    from seqgen.sources.source import Source

    settings = Reading.of(**reading)
    if source == STDIN:
        yield from stdin_lines(settings.encoding)
        return
    if suffixes_of(source)[0] in {".tsv", *READERS}:
        raise ConfigError(
            f"{source} is a file of pairs, and each line should be a text; save the texts in a .txt file, or measure "
            "pairs with seqgen eval"
        )
    lines = Source(source, settings).lines()
    while batch := list(islice(lines, BATCH_LINES)):
        yield batch


def stdin_lines(encoding: str) -> Iterator[list[str]]:
    """Yield the lines of stdin without their ends, as many at a time as have come: a pipe that pauses is answered.

    Raises:
        TextError: stdin is closed, or is not text in `encoding`.
    """
    from seqgen.sources.decoding import TextDecoder
    from seqgen.sources.lines import lines_by_chunk

    if sys.stdin is None:
        raise TextError("stdin is closed; pipe a text into it, or name a file")
    decoder, stdin = TextDecoder(encoding, "strict", "stdin"), cast("BufferedReader", sys.stdin.buffer)

    def chunks() -> Iterator[str]:
        while block := stdin.read1(BLOCK_BYTES):
            yield decoder.push(block)
        yield decoder.push(b"", final=True)

    for lines in lines_by_chunk(chunks()):
        if batch := [line.rstrip("\r\n") for line in lines]:
            yield batch


def is_text(argument: str, where: str, *, quiet: bool) -> bool:
    """Return whether an argument is the text itself, and not - or a file; note what looks like a missing file.

    Raises:
        TextError: it is empty.
    """
    from seqgen.sources.names import is_read_once

    if not argument.strip():
        raise TextError(f"{where} is empty; give a text, a file, or - for stdin")
    if is_read_once(argument) or os.path.isfile(argument):  # noqa: PTH113 (a long text is not an error)
        return False
    if os.path.isdir(argument):  # noqa: PTH112
        notice(f"{argument} is a folder, and {where} is this text itself", quiet=quiet)
    elif _FILE_NAME.fullmatch(argument):
        notice(f"there is no file {argument}, so {where} is this text itself", quiet=quiet)
    return True


def is_typed(source: str) -> bool:
    """Return whether lines are typed at a terminal."""
    from seqgen.sources.config import STDIN

    return source == STDIN and sys.stdin is not None and sys.stdin.isatty()


def as_text(argument: str, where: str) -> str:
    """Return an argument if it is valid UTF-8; Python marks each of its other bytes by a lone surrogate.

    Raises:
        TextError: it is not; the message has the offset of the byte.
    """
    try:
        argument.encode()
    except UnicodeEncodeError as error:
        byte = ord(argument[error.start]) - 0xDC00
        shown = f" (0x{byte:02x})" if 0x80 <= byte <= 0xFF else ""
        offset = len(argument[: error.start].encode())
        raise TextError(f"{where} is not valid UTF-8 at byte {offset}{shown}; convert it to UTF-8 first") from error
    return argument
