"""`seqgen compress|decompress`: pack a file without loss by a model's own probabilities."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from seqgen.cli.bars import WorkBar
from seqgen.cli.options import JsonOption, QuietOption, RunOption
from seqgen.cli.output import check_new, print_line, printable, stderr, write_json, write_text
from seqgen.cli.signals import exit_on_signal

from seqgen.errors import ConfigError, TextError
from seqgen.evaluation.adaptation.config import Adapting
from seqgen.sources.config import STDIN, name_of
from seqgen.utils.files import write_atomically
from seqgen.utils.text import plural

if TYPE_CHECKING:
    from seqgen.runs.text import TextRun

SUFFIX = ".seqgen"
STDOUT = "-"


def compress(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="Text in UTF-8; for a run of bytes any file; - is stdin.")
    ],
    out: Annotated[
        str | None,
        typer.Option("--out", "-o", metavar="FILE", help="Compressed file; - is stdout.", show_default=f"FILE{SUFFIX}"),
    ] = None,
    run: RunOption = None,
    dynamic: Annotated[
        Adapting | None,
        typer.Option(help="Let the model learn from the file while it is coded; without a value all that it has."),
    ] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Compress a file without loss, into as many bits as `seqgen eval --sequential` says.

    The run is needed to decompress it, on the same kind of machine with the same versions of seqgen, torch and numpy.
    """
    target = out or (STDOUT if file == STDIN else file + SUFFIX)
    if target == STDOUT and sys.stdout.isatty():
        raise ConfigError("out: a compressed file is not for a terminal; name a file")
    place = _new_file(target, json=json)
    content, model, name = _read(file), _load(run), name_of([file])
    began = time.perf_counter()
    with WorkBar(f"compressing {name}", quiet=quiet) as bar:
        compressed = model.compress(content, name, dynamic=dynamic, progress=bar.show)
    seconds = time.perf_counter() - began
    if place is None:
        sys.stdout.buffer.write(compressed)
    else:
        write_atomically(place, compressed)
    if json:
        write_json({"file": name, "out": target, "dynamic": dynamic, **_figures(model, content, compressed, seconds)})
    elif not quiet:
        _report({"out": target, **_figures(model, content, compressed, seconds)})


def decompress(
    file: Annotated[str, typer.Argument(metavar="FILE", help="File made by `seqgen compress`; - is stdin.")],
    out: Annotated[
        str | None,
        typer.Option(
            "--out", "-o", metavar="FILE", help="Original file; - is stdout.", show_default=f"FILE without {SUFFIX}"
        ),
    ] = None,
    run: RunOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Restore a file that `seqgen compress` made, by the same run; check that it is the original."""
    if out is None and file != STDIN and not file.endswith(SUFFIX):
        raise ConfigError(f"out: {file} does not end in {SUFFIX}; name the file to write")
    target = out or (STDOUT if file == STDIN else file.removesuffix(SUFFIX))
    place = _new_file(target, json=json)
    compressed, model, name = _read(file), _load(run), name_of([file])
    began = time.perf_counter()
    with WorkBar(f"decompressing {name}", quiet=quiet) as bar:
        content = model.decompress(compressed, name, progress=bar.show)
    seconds = time.perf_counter() - began
    if place is not None:
        write_atomically(place, content)
    elif sys.stdout.isatty():
        raw = model.config.data.is_raw
        write_text(content.decode("latin-1" if raw else "utf-8"), raw=raw)
    else:
        sys.stdout.buffer.write(content)
    if json:
        write_json({"file": name, "out": target, **_figures(model, content, compressed, seconds)})
    elif not quiet:
        _report({"out": target, **_figures(model, content, compressed, seconds)})


def _new_file(out: str, *, json: bool) -> Path | None:
    """Return the path of a file to write, before minutes of work; None for stdout."""
    if out == STDOUT:
        if json:
            raise ConfigError("json: stdout has the file, so it cannot have JSON too; name a file by --out")
        return None
    return check_new(out, "--out")


def _read(file: str) -> bytes:
    """Return the content of a file or of stdin."""
    from seqgen.sources.decoding import open_file

    if file == STDIN:
        return sys.stdin.buffer.read()
    with open_file(file) as opened:
        try:
            return opened.read()
        except OSError as error:
            raise TextError(f"{file} cannot be read: {error.strerror or error}") from error


def _load(run: str | None) -> TextRun:
    with exit_on_signal():
        from seqgen.runs.load import load
        from seqgen.runs.text import TextRun

    return load(run, device="cpu").expect(TextRun)


def _figures(model: TextRun, content: bytes, compressed: bytes, seconds: float) -> dict[str, Any]:
    """Return how large a file is, compressed and not, and what xz needs."""
    from seqgen.evaluation.report import xz_bits_per_byte

    size = len(content)
    return {
        "run": str(model.path),
        "bytes": size,
        "compressed_bytes": len(compressed),
        "bits_per_byte": 8 * len(compressed) / size if size else None,
        "xz_bits_per_byte": xz_bits_per_byte(content.decode("latin-1"), "latin-1") if size else None,
        "seconds": seconds,
        "megabytes_per_second": size / 1e6 / seconds,
    }


def _report(figures: dict[str, Any]) -> None:
    """Print the figures on stderr."""
    own, xz = figures["bits_per_byte"], figures["xz_bits_per_byte"]
    bits = "" if own is None else f", {own:.4f} bits per byte" + ("" if xz is None else f" (xz -9: {xz:.4f})")
    size = f"{figures['out']}: {plural(figures['bytes'], 'byte')} in {figures['compressed_bytes']:,}{bits}"
    speed = f"{figures['seconds']:.1f} s, {figures['megabytes_per_second']:.4f} MB/s"
    print_line(stderr(), printable(f"{size}; {speed}"))
