"""What the store and the downloads hold: a list of entries, and which of them to remove. No torch."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from seqgen.data.cache.cache import KNOWN_CAP, OF_TEXT, size_of
from seqgen.data.cache.stored_ids import RECORD_CAP, TOKENIZER, IdsManifest
from seqgen.data.cache.stored_text import MANIFEST, MANIFEST_CAP, TextManifest
from seqgen.errors import SeqgenError
from seqgen.sources.catalog.downloads import FETCHING
from seqgen.sources.config import CORPUS_PREFIX, name_of
from seqgen.tokenizers import SIZE_CAP
from seqgen.tokenizers.base import TOKENIZER_FILE, kind_of
from seqgen.utils.files import cache_directory, read_at_most
from seqgen.utils.locks import MAKING, removing, take, unused

Kind = Literal["text", "tokenizer", "ids", "unfinished", "download"]
KINDS: dict[str, Kind] = {"texts": "text", "tokenizers": "tokenizer", "ids": "ids"}
"""From a folder of the store to what is in it."""


@dataclass(frozen=True)
class Entry:
    """One thing that is kept, and can be removed without the others."""

    kind: Kind
    path: Path
    made_from: str
    """The texts, and the kind of tokenizer of ids and tokenizers."""
    bytes: int
    last_used: float
    """Seconds since 1970."""
    in_use: bool
    """Whether a process makes it or uses it."""
    only_copy: bool = False
    """Whether it is a text that came from stdin or a pipe, and is nowhere else."""


def list_entries(store: Path, *, downloads: bool = True) -> list[Entry]:
    """List what is in a store, and the user's downloads unless they are left out; the last used first."""
    texts = {place.name: _text(place) for place in _folders(store / "texts") if not place.name.startswith(".")}
    names = {name: entry.made_from for name, entry in texts.items()}
    entries = list(texts.values())
    for folder, kind in KINDS.items():
        for place in _folders(store / folder):
            if place.name.startswith(MAKING):
                entries.append(_unfinished(place, kind))
            elif kind != "text" and not place.name.startswith("."):
                made_from = _made_from(place, kind, names)
                entries.append(Entry(kind, place, made_from, size_of(place), _time(place), _in_use(place)))
    if downloads:
        entries += [entry for entry in map(_download, _folders(cache_directory() / "corpora")) if entry.bytes]
    return sorted(entries, key=lambda entry: -entry.last_used)


def choose(
    entries: Sequence[Entry], now: float, *, older_than: float | None = None, max_bytes: int | None = None,
    everything: bool = False,
) -> list[Entry]:  # fmt: skip
    """Which entries to remove; none that is in use, and the only copy of a text with `everything` alone.

    Args:
        entries: what there is.
        now: seconds since 1970.
        older_than: seconds for which an entry was not used.
        max_bytes: what is kept at most: the last used longest ago goes first.
        everything: all of them.
    """
    free = [entry for entry in entries if not entry.in_use and (everything or not entry.only_copy)]
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
    """Remove entries but those that have come into use meanwhile; give those that are gone."""
    gone = [entry for entry in entries if (_remove_download if entry.kind == "download" else take)(entry.path)]
    for store in {entry.path.parent.parent for entry in gone if entry.kind == "text"}:
        for known in (store / "known").glob("*.json"):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                if not (store / "texts" / json.loads(read_at_most(known, KNOWN_CAP))["text"]).exists():
                    known.unlink()
    return gone


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def _time(place: Path) -> float:
    try:
        return place.stat().st_mtime
    except OSError:  # removed a moment ago
        return 0.0


def _in_use(place: Path) -> bool:
    with contextlib.suppress(OSError), unused(place) as free:
        return not free
    return False


def _text(place: Path) -> Entry:
    made_from, only_copy = "a text that cannot be read", False
    with contextlib.suppress(OSError, SeqgenError):
        sources = TextManifest.from_json(read_at_most(place / MANIFEST, MANIFEST_CAP), MANIFEST).sources
        made_from = name_of(source.name for source in sources)
        # Those of the catalogue have no state either, and can be read again.
        only_copy = any(source.state is None and not source.name.startswith(CORPUS_PREFIX) for source in sources)
    return Entry("text", place, made_from, size_of(place), _time(place), _in_use(place), only_copy)


def _made_from(place: Path, kind: Kind, texts: Mapping[str, str]) -> str:
    """The kind of tokenizer, and the names of the texts that ids or a tokenizer were made from."""
    tokenizer, text = "?", place.name[:OF_TEXT]
    with contextlib.suppress(OSError, SeqgenError):
        if kind == "ids":
            text = IdsManifest.from_json(read_at_most(place / MANIFEST, RECORD_CAP), MANIFEST).text_sha256
        file = (place / TOKENIZER if kind == "ids" else place) / TOKENIZER_FILE
        tokenizer = kind_of({TOKENIZER_FILE: read_at_most(file, SIZE_CAP)})
    names = (name for sha256, name in texts.items() if sha256.startswith(text) or text.startswith(sha256))
    return f"{tokenizer} of {next(names, f'a text that was removed ({text[:OF_TEXT]})')}"


def _unfinished(place: Path, kind: Kind) -> Entry:
    with removing(place.parent, place.name.removeprefix(MAKING)) as made:
        in_use = made is None
    return Entry("unfinished", place, kind, size_of(place), _time(place), in_use)


def _download(place: Path) -> Entry:
    """Return the entry of a downloaded corpus."""
    size = sum(path.stat().st_size for path in _fetched_files(place))
    with _unfetched(place) as free:
        return Entry("download", place, f"{CORPUS_PREFIX}{place.name}", size, _time(place), not free)


def _fetched_files(place: Path) -> list[Path]:
    return [path for path in place.iterdir() if path.is_file() and path.suffix != ".lock"]


@contextlib.contextmanager
def _unfetched(place: Path) -> Iterator[bool]:
    """Whether no process fetches or reads a corpus; inside, none begins to."""
    with removing(place, FETCHING) as there, unused(place) as free:
        yield there is not None and free


def _remove_download(place: Path) -> bool:
    with _unfetched(place) as free:
        for path in _fetched_files(place) if free else ():
            path.unlink()
    with contextlib.suppress(OSError):
        place.rmdir()  # if nothing is left
    return free
