"""`seqgen tokenizer build|encode|decode|show`."""

from __future__ import annotations

import sys
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from seqgen.cli.options import (
    JsonOption,
    QuietOption,
    RunOption,
    TextsArgument,
    as_text,
    read_stdin,
    tokenizer_config,
    with_settings,
)
from seqgen.cli.output import notice, notice_pipes, printable, stdout, tokenizer_name, write_json, write_text

from seqgen.config import settings_of
from seqgen.errors import ConfigError, RunError, SaveError, TextError
from seqgen.sources.config import BYTES, Reading
from seqgen.tokenizers.config import TokenizerConfig
from seqgen.utils.files import unwritable_parent
from seqgen.utils.text import plural

if TYPE_CHECKING:
    from seqgen.tokenizers.base import Tokenizer

TokenizerOption = Annotated[
    str | None, typer.Option("--tokenizer", metavar="DIR", help="Directory made by `tokenizer build`.")
]


@with_settings(settings_of(TokenizerConfig, Reading), main=("tokenizer", "vocab_size"))
def build(
    texts: TextsArgument,
    out: Annotated[str, typer.Option(metavar="DIR", help="New directory, for `train --tokenizer DIR`.")],
    quiet: QuietOption = False,
    **settings: Any,
) -> None:
    """Build a tokenizer from texts."""
    from seqgen.data.config import DataConfig
    from seqgen.data.pipeline import read_texts

    if not out:
        raise ConfigError("out: the name is empty; name a new directory")
    if Path(out).exists():
        raise RunError(f"{out} exists already; choose another --out, or remove it")
    if (nearest := unwritable_parent(Path(out))) is not None:  # before minutes of training
        raise SaveError(f"{out} cannot be made: {nearest} cannot be written; choose another --out")
    config, reading = tokenizer_config(settings)
    data = DataConfig.of(text=tuple(texts), valid_split="none", **reading)
    notice_pipes(texts, quiet=quiet)
    read = read_texts(data)
    tokenizer = read.tokenizer(config)
    tokenizer.save(Path(out))
    for message in read.notices:
        notice(message, quiet=quiet)
    notice(f"{out}: {_describe(tokenizer)}", quiet=quiet)


ENCODING = {"encoding": settings_of(Reading)["encoding"]._replace(description="Text encoding of stdin.")}


@with_settings(ENCODING, main=("encoding",))
def encode(
    text: Annotated[str, typer.Argument(help="The text; - reads stdin.")] = "-",
    tokenizer: TokenizerOption = None,
    run: RunOption = None,
    pieces: Annotated[bool, typer.Option("--pieces", help="Print each id with its piece and its characters.")] = False,
    json: JsonOption = False,
    **settings: Any,
) -> None:
    """Print the ids of a text."""
    from seqgen.sources.content import bytes_as_characters

    loaded = _load(tokenizer, run)
    raw = loaded.text_encoding == "latin-1"
    if text == "-":
        content = read_stdin(BYTES if raw else settings.get("encoding", "utf-8"), "the text from stdin")
    else:
        content = bytes_as_characters(text) if raw else as_text(text, "the text")
        if _is_file(text):
            notice(f"these are the ids of the string {text!r}; to encode the file: seqgen tokenizer encode < {text}")
    ids = loaded.encode(content).tolist()
    if pieces:
        _print_pieces(ids, loaded.token_texts(content), loaded, json=json)
    elif json:
        write_json(ids)
    else:
        sys.stdout.write(" ".join(map(str, ids)) + "\n")


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except (OSError, ValueError):  # the text cannot be the name of a file
        return False


def _print_pieces(ids: list[int], texts: list[str], tokenizer: Tokenizer, *, json: bool) -> None:
    """Print a row for each id: its piece, and how many characters of the text it covers."""
    from rich.table import Table

    if json:
        names = [tokenizer.id_to_bytes[token].decode("utf-8", "backslashreplace") for token in ids]
        rows = zip(ids, names, texts, strict=True)
        write_json([{"id": token, "piece": piece, "text": text} for token, piece, text in rows])
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("id", justify="right")
    table.add_column("piece", overflow="fold")
    table.add_column("characters", justify="right")
    for token, text in zip(ids, texts, strict=True):
        shown = f"(unknown) {_quote(text)}" if token == tokenizer.unknown_id else _quote(tokenizer.id_to_bytes[token])
        table.add_row(str(token), shown, str(len(text)))
    stdout().print(table)


def decode(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="ID", help="The ids; without any, they are read from stdin.")
    ] = None,
    tokenizer: TokenizerOption = None,
    run: RunOption = None,
    json: JsonOption = False,
) -> None:
    """Print the text of a list of ids."""
    loaded = _load(tokenizer, run)
    words = ids or sys.stdin.buffer.read().decode("utf-8", "replace").replace(",", " ").strip("[] \n").split()
    numbers = [_as_id(word, loaded.vocab_size) for word in words]
    text = loaded.decode(numbers)
    if json:
        write_json(text)
    else:
        write_text(text, raw=loaded.text_encoding == "latin-1")
        write_text("\n" if sys.stdout.isatty() else "")


def _as_id(word: str, vocab_size: int) -> int:
    if not (word.isdecimal() and len(word) <= 9 and int(word) < vocab_size):
        shown = word if len(word) <= 20 else f"{word[:20]}..."
        raise TextError(f"{shown!r} is not an id of this vocabulary; ids are from 0 to {vocab_size - 1}")
    return int(word)


def show(
    tokenizer: TokenizerOption = None,
    run: RunOption = None,
    json: JsonOption = False,
) -> None:
    """Print the vocabulary, one id per line."""
    loaded = _load(tokenizer, run)
    if json:
        pieces = [piece.decode("utf-8", "backslashreplace") for piece in loaded.id_to_bytes]
        write_json(
            {
                "kind": loaded.kind,
                "normalization": loaded.normalization,
                "vocab_size": loaded.vocab_size,
                "fingerprint": loaded.fingerprint,
                "unknown_id": loaded.unknown_id,
                "pieces": pieces,
            }
        )
        return
    if loaded.normalization != "none":
        notice(_describe(loaded))
    names = {0: "(document boundary)"}
    if loaded.unknown_id is not None:
        names[loaded.unknown_id] = "(unknown)"
    console = stdout()
    for number, piece in enumerate(loaded.id_to_bytes):
        shown = names.get(number, _quote(piece))
        console.print(f"{number:>7}  {shown}", soft_wrap=True)


def _describe(tokenizer: Tokenizer) -> str:
    name = tokenizer_name(tokenizer.kind, tokenizer.normalization)
    return f"{name}, {plural(tokenizer.vocab_size, 'id')}, fingerprint {tokenizer.fingerprint[:12]}"


def _quote(piece: str | bytes) -> str:
    """Quote `piece`; a mark or jamo at its beginning, which would join the quote, becomes its code and name."""
    from seqgen.tokenizers.normalization import combines_with_previous

    if isinstance(piece, bytes):
        try:
            piece = piece.decode()
        except UnicodeDecodeError:  # one byte of a character
            return repr(piece)[1:]
    if not piece or not combines_with_previous(piece[0]):
        return printable(repr(piece))
    return f"'{ascii(piece[0])[1:-1]}{printable(repr(piece[1:]))[1:-1]}'  {unicodedata.name(piece[0], '')}"


def _load(tokenizer: str | None, run: str | None) -> Tokenizer:
    from seqgen import tokenizers
    from seqgen.runs.directory import find_run

    if tokenizer is not None:
        if run is not None:
            raise ConfigError("tokenizer: give --tokenizer or --run, not both")
        return tokenizers.load(Path(tokenizer))
    directory = find_run(run)
    return tokenizers.load(directory.tokenizer, directory.read_config().tokenizer.fingerprint)
