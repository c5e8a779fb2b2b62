"""List the entries of the cache and the downloads, and choose which of them to remove. No torch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from filelock import Timeout

from seqgen.data.cache.cache import ENTRY, EntryRecord, size_of
from seqgen.errors import ConfigError
from seqgen.sources.catalog.downloads import FETCHING
from seqgen.sources.config import CORPUS_PREFIX
from seqgen.utils.files import cache_directory, read_at_most
from seqgen.utils.locks import BUILDING, hold_lock, remove_entry

Kind = Literal["text", "tokenizer", "ids", "unfinished", "download"]
KINDS: dict[str, Kind] = {"texts": "text", "tokenizers": "tokenizer", "ids": "ids"}
"""From a folder of the cache to what is in it."""
RECORD_LIMIT_BYTES = 1 << 20


@dataclass(frozen=True)
class Entry:
    """One thing that is kept, and can be removed without the others."""

    kind: Kind
    path: Path
    made_from: str
    bytes: int
    last_used: float
    """Seconds since 1970."""
    only_copy: bool = False
    """Whether it is a text that came from stdin or a pipe, and exists nowhere else."""


def list_entries(cache: Path, *, downloads: bool = True) -> list[Entry]:
    """List what is in a cache, and the user's downloads unless they are left out; the last used first."""
    entries = [_entry(place, kind) for folder, kind in KINDS.items() for place in _folders(cache / folder)]
    if downloads:
        entries += [entry for entry in map(_download, _folders(cache_directory() / "corpora")) if entry.bytes]
    return sorted(entries, key=lambda entry: -entry.last_used)


def choose(
    entries: Sequence[Entry], now: float, *, older_than: float | None = None, max_bytes: int | None = None,
    everything: bool = False,
) -> list[Entry]:  # fmt: skip
    """Choose which entries to remove; the only copy of a text is chosen only with `everything`.

    Args:
        entries: what there is.
        now: seconds since 1970.
        older_than: seconds for which an entry was not used.
        max_bytes: how much to keep: the entries that were not used for the longest time go first.
        everything: all of them.
    """
    free = [entry for entry in entries if everything or not entry.only_copy]
    chosen = [entry for entry in free if everything or (older_than is not None and entry.last_used < now - older_than)]
    if max_bytes is not None:
        left = sum(entry.bytes for entry in entries) - sum(entry.bytes for entry in chosen)
        for entry in sorted((one for one in free if one not in chosen), key=lambda entry: entry.last_used):
            if left <= max_bytes:
                break
            chosen.append(entry)
            left -= entry.bytes
    return chosen


def remove(entries: Iterable[Entry]) -> list[Entry]:
    """Remove entries, except those that a process is building or downloading; return those that are gone."""
    return [entry for entry in entries if (_remove_download if entry.kind == "download" else remove_entry)(entry.path)]


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def _entry(place: Path, kind: Kind) -> Entry:
    record = EntryRecord(made_from="unknown")
    with contextlib.suppress(OSError, ConfigError):  # unfinished, damaged, or removed a moment ago
        record = EntryRecord.from_json(read_at_most(place / ENTRY, RECORD_LIMIT_BYTES), ENTRY)
    if place.name.startswith(BUILDING):
        kind = "unfinished"
    return Entry(kind, place, record.made_from, size_of(place), _last_used(place), record.only_copy)


def _last_used(place: Path) -> float:
    try:
        return place.stat().st_mtime
    except OSError:  # removed a moment ago
        return 0.0


def _download(place: Path) -> Entry:
    """Return the entry of a downloaded corpus."""
    size = sum(path.stat().st_size for path in _downloaded_files(place))
    return Entry("download", place, f"{CORPUS_PREFIX}{place.name}", size, _last_used(place))


def _downloaded_files(place: Path) -> list[Path]:
    return [path for path in place.iterdir() if path.is_file() and path.suffix != ".lock"]


def _remove_download(place: Path) -> bool:
    try:
        with hold_lock(place, FETCHING, timeout=0):
            for path in _downloaded_files(place):
                path.unlink()
    except (Timeout, OSError):
        return False
    with contextlib.suppress(OSError):
        place.rmdir()  # if nothing is left
    return True
