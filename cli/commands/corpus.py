"""`seqgen corpus list|fetch`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from seqgen.cli.options import JsonOption, QuietOption
from seqgen.cli.output import PAGE, notice, printable, size_in_words, stderr, stdout, write_json

if TYPE_CHECKING:
    from seqgen.sources.catalog.corpus import CorpusSpec
    from seqgen.sources.catalog.download import Progress as Told
    from seqgen.sources.catalog.published import Fetched, File


def list_corpora(json: JsonOption = False) -> None:
    """List the catalog: what there is to train on by `seqgen train corpus:NAME`."""
    from rich.table import Table

    from seqgen.sources.catalog.corpus import corpus_specs

    known = corpus_specs()
    if json:
        write_json([_as_record(spec) for spec in known.values()])
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("name", no_wrap=True)
    for name in ("what it is", "language", "license"):
        table.add_column(name)
    for name in ("size", "where"):
        table.add_column(name, justify="right", no_wrap=True)
    for spec in known.values():
        size, where = size_in_words(spec.size), _where(spec)
        table.add_row(spec.name, spec.title, spec.language, spec.license, size, where)
    stdout(PAGE).print(table)


def fetch(
    names: Annotated[list[str], typer.Argument(metavar="NAME", help="Corpora of the catalog.")],
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Download a corpus into the cache, checked against its hash; a broken download goes on where it ended."""
    from seqgen.sources.catalog.corpus import find_spec
    from seqgen.sources.catalog.download_cache import download_directory
    from seqgen.sources.catalog.published import Fetched

    records: list[dict[str, Any]] = []
    for spec in [find_spec(name) for name in names]:
        record: dict[str, Any] = {"name": spec.name, "directory": None, "files": []}
        if isinstance(spec.reader, Fetched):
            files = _fetch(spec, spec.reader, quiet=quiet)
            record["directory"] = str(download_directory(spec.name))
            record["files"] = [file.model_dump() for file in files]
        else:
            notice(f"corpus:{spec.name} is {_where(spec)}: there is nothing to download", quiet=quiet)
        records.append(record)
    if json:
        write_json(records)


def _fetch(spec: CorpusSpec, reader: Fetched, *, quiet: bool) -> list[File]:
    """Fetch with a bar on a terminal, and say what can be done with it."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    console = stderr()
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
               TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bar:

        def follow(file: File) -> Told:
            task = bar.add_task(printable(file.name), total=file.size)
            return lambda done, total: bar.update(task, completed=done, total=total or file.size)

        files = reader.fetch(spec.name, follow)
    for stated, found in zip(reader.files, files, strict=True):
        if stated.sha256 is None:
            notice(f"{found.name}: {stated.sha256_source}; held from now on: SHA-256 {found.sha256}", quiet=quiet)
    notice(f"corpus:{spec.name} is here; {_advice(spec)}; its license: {spec.license}", quiet=quiet)
    return files


def _advice(spec: CorpusSpec) -> str:
    valid = f" --valid corpus:{spec.name}:valid" if "valid" in spec.reader.parts else ""
    measured = next((part for part in ("test", "valid") if part in spec.reader.parts), None)
    after = "" if measured is None else f", then seqgen eval corpus:{spec.name}:{measured}"
    return f"seqgen train corpus:{spec.name}{valid}{after}"


def _where(spec: CorpusSpec) -> str:
    from seqgen.sources.catalog.published import Fetched

    if isinstance(spec.reader, Fetched):
        return "here" if spec.reader.is_here(spec.name) else "to fetch"
    return {"synthetic": "made", "own-text": "embedded"}.get(spec.reader.kind, "in Python")


def _as_record(spec: CorpusSpec) -> dict[str, Any]:
    """What --json prints of a corpus."""
    return spec.model_dump() | {"parts": spec.reader.parts, "where": _where(spec)}
