"""`seqgen corpus list|fetch`: list the catalog, and download from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from seqgen.cli.options import JsonOption, QuietOption
from seqgen.cli.output import PAGE, notice, printable, size_in_words, stderr, stdout, write_json

if TYPE_CHECKING:
    from seqgen.sources.catalog.corpus import CorpusSpec
    from seqgen.sources.catalog.downloads import Download, DownloadProgress, RemoteFile


def list_corpora(json: JsonOption = False) -> None:
    """List the corpora that `seqgen train corpus:NAME` can train on."""
    from rich.table import Table

    from seqgen.sources.catalog.corpus import corpus_specs

    known = corpus_specs()
    if json:
        write_json([_as_record(spec) for spec in known.values()])
        return
    table = Table(box=None, pad_edge=False)
    for name in ("name", "task"):
        table.add_column(name, no_wrap=True)
    console = stdout(PAGE)
    shows_license = console.width >= PAGE
    for name in ("description", *(["license"] if shows_license else [])):
        table.add_column(name)
    for name in ("size", "where"):
        table.add_column(name, justify="right", no_wrap=True)
    for spec in known.values():
        size, where = size_in_words(spec.size), _where(spec)
        table.add_row(spec.name, spec.task, spec.title, *([spec.license] if shows_license else []), size, where)
    console.print(table)
    if not shows_license:
        notice("not shown at this width: license; `seqgen corpus list --json` has everything")


def fetch(
    names: Annotated[list[str], typer.Argument(metavar="NAME", help="Names of corpora.")],
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Download corpora into the cache directory, and check their hashes."""
    from seqgen.sources.catalog.corpus import find_spec
    from seqgen.sources.catalog.downloads import Download, download_directory

    records: list[dict[str, Any]] = []
    for spec in [find_spec(name) for name in names]:
        record: dict[str, Any] = {"name": spec.name, "directory": None, "files": []}
        if isinstance(spec.reader, Download):
            _fetch(spec, spec.reader, quiet=quiet)
            record["directory"] = str(download_directory(spec.name))
            record["files"] = [file.model_dump() for file in spec.reader.files]
        else:
            notice(f"corpus:{spec.name} needs no download: it is {_where(spec)}", quiet=quiet)
        records.append(record)
    if json:
        write_json(records)


def _fetch(spec: CorpusSpec, reader: Download, *, quiet: bool) -> None:
    """Download a corpus with a progress bar on a terminal, and say how to train on it."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    console = stderr()
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
               TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bar:

        def follow(file: RemoteFile) -> DownloadProgress:
            task = bar.add_task(printable(file.name), total=file.size)
            return lambda done: bar.update(task, completed=done)

        reader.fetch(spec.name, follow)
    notice(f"corpus:{spec.name} is downloaded; {_advice(spec)}; license: {spec.license}", quiet=quiet)


def _advice(spec: CorpusSpec) -> str:
    valid = f" --valid corpus:{spec.name}:valid" if "valid" in spec.reader.parts else ""
    measured = next((part for part in ("test", "valid") if part in spec.reader.parts), None)
    after = "" if measured is None else f", then seqgen eval corpus:{spec.name}:{measured}"
    return f"seqgen train corpus:{spec.name}{valid}{after}"


def _where(spec: CorpusSpec) -> str:
    from seqgen.sources.catalog.downloads import Download

    if isinstance(spec.reader, Download):
        return "downloaded" if spec.reader.is_downloaded(spec.name) else "to fetch"
    return {"synthetic": "generated", "synthetic-pairs": "generated", "bundled": "included"}.get(
        spec.reader.kind, "part of Python"
    )


def _as_record(spec: CorpusSpec) -> dict[str, Any]:
    """Return a corpus as --json prints it."""
    return spec.model_dump() | {"parts": spec.reader.parts, "where": _where(spec)}
