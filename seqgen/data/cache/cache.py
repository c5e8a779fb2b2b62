"""Find texts, tokenizers and ids in the cache, or build them there. No torch.

    texts/NAME        a text            (cached_text.py), by the state of its files (of a generated corpus: those that
                                        generate it), or by its hash: no files, new files
    tokenizers/NAME   a tokenizer       (seqgen.tokenizers), by text, split and settings
    ids/NAME          the ids of both   (cached_ids.py), by texts, split and tokenizer

NAME is a hash of what the entry is made from. An entry is built in a folder next to it, under a lock, and renamed when
it is complete; `entry.json` in it is what `seqgen cache list` shows. Everything can be removed at any time and is built
again when it is needed, except a text that came from stdin or a pipe.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from seqgen import tokenizers
from seqgen._version import __version__
from seqgen.config import Config, FileName
from seqgen.data.cache.cached_ids import CachedIds
from seqgen.data.cache.cached_text import CachedText, TextManifest
from seqgen.data.cache.encode import training_chunks
from seqgen.data.cache.workers import build_in_process
from seqgen.data.cache.write_ids import Compare, write_ids
from seqgen.data.cache.write_text import write_text
from seqgen.data.config import DataConfig
from seqgen.data.split import Split
from seqgen.errors import ConfigError, RunError, SaveError, TextError, TokenizerError
from seqgen.sources.config import CORPUS_PREFIX, Reading, absolute, is_path, name_of
from seqgen.sources.names import are_parallel, expand_names, is_read_once, pipe_notice
from seqgen.sources.source import issue_notices
from seqgen.tokenizers.base import Tokenizer
from seqgen.tokenizers.config import TokenizerConfig
from seqgen.utils.files import cache_directory, read_at_most
from seqgen.utils.locks import build_folder, note_use, remove_leftovers
from seqgen.utils.progress import WAITING, Progress, Report, silent

ENTRY, FINGERPRINT = "entry.json", "fingerprint"
PROCESS_BYTES = 1 << 19
"""Bytes of text from which a subword tokenizer is built in a process of its own: sentencepiece takes much memory, and
does not notice Ctrl-C."""
SETTLED_SECONDS = 2.0
"""How old the last change of a file must be for its state to stand for its content: FAT counts time in steps of two
seconds.
"""

T = TypeVar("T")
FileState: TypeAlias = tuple[int, ...]


class EntryRecord(Config):
    """What `seqgen cache list` shows of an entry."""

    made_from: FileName
    """The names of the texts; for a tokenizer or ids, also the kind of tokenizer."""
    only_copy: bool = False
    """Whether it is a text from stdin or a pipe, which exists nowhere else."""


def cache_path(directory: str | None = None) -> Path:
    """Return the directory that is given, or the user's cache directory."""
    return Path(directory) if directory else cache_directory()


class Cache:
    """The entries under one directory. Each method finds one, or builds it.

    Raises:
        SaveError: the cache cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def text(
        self, names: Sequence[str], reading: Reading, report: Report = silent, sha256: str | None = None
    ) -> CachedText:
        """Return the text of all sources; read them if it is not cached, or if a file has changed.

        Args:
            names: files, directories, `-` for stdin, `corpus:NAME`.
            reading: how their bytes become documents.
            report: receives how many bytes are read, and of how many.
            sha256: the hash that the text must have if it is read; another text is not kept.

        Raises:
            RunError: what was read has another hash.
            TextError: a source cannot be read, or all are empty.
            ConfigError: the encoding or the corpus is unknown.
        """
        files = list(expand_names(names, reading))
        states = list(map(_state, files))
        paths = list(map(absolute, files))

        def build(folder: Path) -> None:
            manifest = _read(names, files, reading, folder, report)
            if sha256 is not None:
                check_hash(name_of(names), manifest.sha256, sha256)
            _describe(folder, name_of(names), only_copy=any(map(is_read_once, files)))

        def build_unchanged(folder: Path) -> None:
            build(folder)
            if states != list(map(_state, files)):
                raise _ChangedError

        if all(map(_is_settled, states)):
            settings = reading.model_dump(include=set(Reading.model_fields))
            key = _key(paths, states, settings, are_parallel(names, reading))
            with contextlib.suppress(_ChangedError):
                return self._find_or_build("texts", key, _open_text, build_unchanged)
        # Else the name is the hash of the content, known only after reading; each process reads for itself.
        with self._build_folder("texts", secrets.token_hex(16)) as folder:
            build(folder)
            key = _text_key(CachedText(folder).manifest.sha256)
            return self._find_or_build("texts", key, _open_text, folder.replace)

    def find_text(self, sha256: str) -> CachedText | None:
        """Return the text with this hash that came from stdin, a pipe or the catalog, if it is cached."""
        return self._find("texts", _text_key(sha256), _open_text)

    def tokenizer(self, split: Split, data: DataConfig, config: TokenizerConfig, report: Report = silent) -> Tokenizer:
        """Return the tokenizer that `config` describes, built from the training text alone.

        Raises:
            ConfigError: `config` asks for what its kind does not have, or for less than this text needs.
            TokenizerError: the text cannot give such a vocabulary.
        """

        def build(folder: Path) -> None:
            report(f"building the {config.kind} vocabulary")
            folder.mkdir()
            if config.kind in {"unigram", "bpe"} and split.train.bytes >= PROCESS_BYTES:
                build_in_process(split.train, config, folder)
            else:
                tokenizers.build(training_chunks(split.train), config).save(folder)
            (folder / FINGERPRINT).write_text(tokenizers.load(folder).fingerprint, "ascii")
            _describe(folder, f"{config.kind} of {data.name}")

        key = _key(_split_hashes(split, data), config.model_dump())
        return self._find_or_build("tokenizers", key, _open_tokenizer, build)

    def ids(
        self,
        split: Split,
        data: DataConfig,
        tokenizer: Tokenizer,
        report: Report = silent,
        *,
        compare: Compare | None = None,
    ) -> CachedIds:
        """Return the ids of the training and the validation text, encoded if they are not cached.

        `compare` is as of `write_ids`.
        """

        def build(folder: Path) -> None:
            write_ids(folder, split, tokenizer, report, compare=compare)
            _describe(folder, f"{tokenizer.kind} of {data.name}")

        key = _key(_split_hashes(split, data), tokenizer.fingerprint)
        return self._find_or_build("ids", key, lambda folder: CachedIds(folder, split).verify(), build)

    def _find(self, kind: str, key: str, open_entry: Callable[[Path], T]) -> T | None:
        """Return an entry, or None if it is missing, incomplete or damaged."""
        folder = self.path / kind / key
        with contextlib.suppress(OSError, ValueError, ConfigError, TokenizerError):
            entry = open_entry(folder)
            note_use(folder)
            return entry
        return None

    def _find_or_build(
        self, kind: str, key: str, open_entry: Callable[[Path], T], build: Callable[[Path], object]
    ) -> T:
        if (entry := self._find(kind, key, open_entry)) is not None:
            return entry
        with self._build_folder(kind, key) as folder:
            if (entry := self._find(kind, key, open_entry)) is not None:  # built while this process waited
                return entry
            build(folder)
            place = self.path / kind / key
            shutil.rmtree(place, ignore_errors=True)  # it was damaged
            folder.rename(place)
            return open_entry(place)

    @contextlib.contextmanager
    def _build_folder(self, kind: str, key: str) -> Iterator[Path]:
        """Hold the lock of an entry; yield the folder to build it in."""
        folder = self.path / kind
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)  # only its owner may read the texts
            remove_leftovers(folder)
            with build_folder(folder, key) as building:
                yield building
        except OSError as error:
            if isinstance(error, FileNotFoundError) and folder.is_dir():
                raise SaveError(
                    f"a text or a folder was removed from the cache in {self.path} meanwhile; run the command again"
                ) from error
            full = "make room there, or " if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG} else ""
            raise SaveError(
                f"the cache in {self.path} cannot be written: {error.strerror or error}; {full}choose another "
                "directory with --cache-dir or SEQGEN_CACHE"
            ) from error


class _ChangedError(Exception):
    """A file was changed while it was read."""


def _is_settled(states: list[FileState | None]) -> bool:
    """Return whether there are files, and the state of each will be another one after any change of the file."""
    latest = [max(state[3:]) for state in states if state is not None]
    return 0 < len(latest) == len(states) and time.time() - max(latest) / 1e9 >= SETTLED_SECONDS


def _state(name: str) -> list[FileState | None]:
    """Return the states of the files that decide a text: its own, or those that generate a corpus."""
    if not name.startswith(CORPUS_PREFIX):
        return [file_state(name)]
    from seqgen.sources.catalog.corpus import generating_files

    return list(map(file_state, generating_files(name)))


def file_state(name: str) -> FileState | None:
    """Return what the file system says of a file, different whenever its content is; None if it is not a file.

    The state includes the device and the change time of the inode, which no program can set back. Two changes within
    one tick of the file system's clock have the same state, see `SETTLED_SECONDS`.
    """
    if not is_path(name):
        return None
    try:
        found = Path(name).stat()
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def check_hash(name: str, found: str | None, expected: str | None) -> None:
    """Refuse a text that is not the one that a run was started on, with a RunError."""
    if found != expected:
        raise RunError(
            f"{name} is not the text that this run was started on (SHA-256 {str(found)[:12]}..., then "
            f"{str(expected)[:12]}...); restore it, or start a new run with --init-from"
        )


def size_of(path: Path) -> int:
    """Return the bytes of all files below a directory, of which some may be removed meanwhile."""
    size = 0
    for file in path.rglob("*"):
        with contextlib.suppress(OSError):
            size += file.stat().st_size if file.is_file() else 0
    return size


def _read(names: Sequence[str], files: Sequence[str], reading: Reading, folder: Path, report: Report) -> TextManifest:
    """Read sources into `folder`; return the manifest of their text."""
    total = sum(state[2] for state in map(file_state, files) if state is not None)
    if (message := pipe_notice(files)) is not None:
        report(message, 0, WAITING)
    progress = Progress(report, message or f"reading {name_of(names)}", total)
    manifest = write_text(files, reading, folder, progress.add, parallel=are_parallel(names, reading))
    if not manifest.documents:
        skipped = issue_notices(name_of(names), manifest.issues, reading)
        raise TextError("; ".join([f"{name_of(names)} is empty, so give a text to work with", *skipped]))
    return manifest


def _describe(folder: Path, made_from: str, *, only_copy: bool = False) -> None:
    """Write what `seqgen cache list` shows of an entry."""
    record = EntryRecord(made_from=made_from, only_copy=only_copy)
    (folder / ENTRY).write_text(record.model_dump_json(), "utf-8")


def _open_text(folder: Path) -> CachedText:
    return CachedText(folder).verify()


def _open_tokenizer(folder: Path) -> Tokenizer:
    return tokenizers.load(folder, read_at_most(folder / FINGERPRINT, 64).decode("ascii"))


def _split_hashes(split: Split, data: DataConfig) -> list[Any]:
    """Return what decides which text is for training, and which for validation: the texts, and places in them."""
    parts = (split.train, split.valid)
    places = hashlib.sha256(b"|".join(part.ranges.astype("<i8").tobytes() for part in parts)).hexdigest()
    return [*(part.text.manifest.sha256 for part in parts), places, data.task]


def _key(*made_from: Any) -> str:
    """Return the name of an entry. It depends on the version of seqgen, since another one may build something else."""
    return hashlib.sha256(json.dumps([__version__, *made_from]).encode()).hexdigest()[:32]


def _text_key(sha256: str) -> str:
    return _key("text", sha256)
