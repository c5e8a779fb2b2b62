"""`seqgen cache list|prune`: list and remove cached texts, vocabularies, ids and downloads."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from seqgen.cli.options import JsonOption, QuietOption
from seqgen.cli.output import notice, printable, size_in_words, stdout, write_json

from seqgen.errors import ConfigError
from seqgen.utils.text import plural

if TYPE_CHECKING:
    from seqgen.data.cache.entries import Entry

CacheDirOption = Annotated[
    str | None,
    typer.Option(
        "--cache-dir",
        metavar="DIR",
        help="Only this cache directory, without the downloads.",
        show_default="the user's cache and downloads",
    ),
]
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


def list_entries(cache_dir: CacheDirOption = None, json: JsonOption = False, quiet: QuietOption = False) -> None:
    """List the cache and the downloads: kind, size, last use, source."""
    from seqgen.data.cache import entries as cached
    from seqgen.data.cache.cache import cache_path

    _check_cache_dir(cache_dir)
    entries = cached.list_entries(cache_path(cache_dir), downloads=cache_dir is None)
    if json:
        write_json([_as_record(entry) for entry in entries])
        return
    if entries:
        _print_table(entries)
    notice(f"{cache_path(cache_dir)}: {_total(entries)}", quiet=quiet)


def _check_cache_dir(cache_dir: str | None) -> None:
    """Refuse a name that is not a directory."""
    from seqgen.data.cache.cache import cache_path

    path = cache_path(cache_dir)
    if path.is_file() or (cache_dir is not None and not path.is_dir()):
        raise ConfigError(f"cache_dir: {path} is not a directory; name another with --cache-dir or SEQGEN_CACHE")


def prune(
    older_than: Annotated[
        str | None, typer.Option(metavar="TIME", help="Remove entries not used for this long: 12h, 30d.")
    ] = None,
    max_size: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Keep at most this much, the most recently used: 500MB, 2GB.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Remove everything, including texts from stdin, which exist nowhere else.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be removed.")] = False,
    cache_dir: CacheDirOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Remove entries of the cache and downloads, except those that a running process is building.

    Removed entries are made again when they are needed; `seqgen corpus fetch` downloads a corpus again.
    """
    from seqgen.data.cache import entries as cached
    from seqgen.data.cache.cache import cache_path

    age, size = _as_seconds(older_than), _as_bytes(max_size)
    if age is None and size is None and not everything:
        raise ConfigError("all: say what to remove: --older-than 30d, --max-size 1GB or --all")
    if everything and (age is not None or size is not None):
        raise ConfigError("all: it removes everything, so --older-than and --max-size would have no effect")
    _check_cache_dir(cache_dir)
    entries = cached.list_entries(cache_path(cache_dir), downloads=cache_dir is None)
    chosen = cached.choose(entries, time.time(), older_than=age, max_bytes=size, everything=everything)
    gone = chosen if dry_run else cached.remove(chosen)
    if json:
        kept = [_as_record(entry) for entry in entries if entry not in gone]
        write_json({"dry_run": dry_run, "removed": [_as_record(entry) for entry in gone], "kept": kept})
        return
    if gone:
        _print_table(gone)
    kept_entries = [entry for entry in entries if entry not in gone]
    action = "would be removed" if dry_run else "removed"
    notice(f"{_total(gone)} {action}; {_total(kept_entries)} kept", quiet=quiet)


def _print_table(entries: Sequence[Entry]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("kind", no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("last used", no_wrap=True)
    table.add_column("made from", overflow="fold")
    for entry in entries:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.last_used))
        made_from = f"{entry.made_from} (the only copy)" if entry.only_copy else entry.made_from
        table.add_row(entry.kind, size_in_words(entry.bytes), used, printable(made_from))
    stdout().print(table)


def _total(entries: Sequence[Entry]) -> str:
    size = size_in_words(sum(entry.bytes for entry in entries))
    return f"{plural(len(entries), 'entry', 'entries')}, {size}"


def _as_record(entry: Entry) -> dict[str, Any]:
    """Return an entry as --json prints it."""
    return {
        "kind": entry.kind,
        "path": str(entry.path),
        "made_from": entry.made_from,
        "bytes": entry.bytes,
        "last_used": entry.last_used,
        "only_copy": entry.only_copy,
    }


def _as_seconds(duration: str | None) -> float | None:
    from seqgen.training.config import parse_duration

    try:
        return None if duration is None else float(parse_duration(duration))
    except ValueError as error:
        raise ConfigError(f"older_than: {duration!r} is not a duration; write 12h or 30d") from error


def _as_bytes(size: str | None) -> int | None:
    if size is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([kmgt])b?", size.lower())
    if found is None:
        raise ConfigError(f"max_size: {size!r} is not a size with a unit; write 500MB or 2GB")
    return round(float(found[1]) * _UNITS[found[2]])
