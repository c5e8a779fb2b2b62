"""The store: texts, tokenizers and ids that were made once, under names that are hashes of what made them. No torch.

    texts/        a stored text each, by the hash of its documents    (stored_text.py)
    tokenizers/   what was built, by text, split and settings; the name begins with the text's
    ids/          stored ids, by text, split and tokenizer            (stored_ids.py)
    known/        which text the files of a name, size and time hold, so that they need not be read to be known again

The sources are read once. What is made from them is made from the stored text: its vocabulary by a second pass, over
the training part alone, its ids by a third. Everything here can be removed at any time, and is made again,
but for a text that came from stdin or a pipe.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seqgen import tokenizers
from seqgen.data.cache.encode import training_chunks
from seqgen.data.cache.stored_ids import StoredIds, write_ids
from seqgen.data.cache.stored_text import StoredText, state_of, write_text
from seqgen.data.cache.workers import build_apart
from seqgen.data.config import DataConfig
from seqgen.data.split import Split
from seqgen.errors import ConfigError, RunError, SaveError, TextError, TokenizerError
from seqgen.sources.config import Reading, absolute, name_of
from seqgen.sources.source import expand_names, is_read_once, issue_notices, pipe_notice
from seqgen.tokenizers.base import Tokenizer
from seqgen.tokenizers.config import TokenizerConfig
from seqgen.utils.files import cache_directory, read_at_most, write_atomically
from seqgen.utils.locks import alone, making, note_use, sweep_killed
from seqgen.utils.progress import WAITING, Progress, Report, silent

BUILT_APART = 1 << 19
"""Bytes of text from which a subword tokenizer is built in a process of its own, for the memory that it takes, and so
that Ctrl-C ends it: sentencepiece hears of no signal."""
FORMAT = 2
"""Another whenever the same settings give other documents of the same files, or another vocabulary or other ids of the
same text."""
KNOWN_CAP = 1 << 20
OF_TEXT = 12
"""Characters of its text's hash with which a tokenizer's name begins."""
RANGES, FINGERPRINT = "ranges.npy", "fingerprint"
SETTLED = 2.0
"""Seconds after which a file's time tells that it was not changed since: the clocks of file systems tick."""


def cache_path(directory: str | None = None) -> Path:
    """Where the store is: the directory given, or $SEQGEN_STORE, or in the user's cache."""
    return Path(directory or os.environ.get("SEQGEN_STORE") or cache_directory() / "store")


def size_of(path: Path) -> int:
    """Bytes of all files beneath a directory, of which some may be removed meanwhile."""
    size = 0
    for file in path.rglob("*"):
        with contextlib.suppress(OSError):
            size += file.stat().st_size if file.is_file() else 0
    return size


class Cache:
    """What there is under one directory, and what is made there when it is asked for.

    Raises, from each of its methods:
        SaveError: the store cannot be written.
    """

    def __init__(self, path: Path, beside: Path | None = None) -> None:
        self.path, self._beside = path, beside
        """Where things are made; and another store in which they are looked for, and nothing is made."""

    def _places(self, kind: str, key: str) -> list[Path]:
        return [place / kind / key for place in (self.path, self._beside) if place is not None]

    def _known(self, key: str) -> StoredText | None:
        """The text that sources in this state gave, if it is there."""
        for place in self._places("known", f"{key}.json"):
            with contextlib.suppress(OSError, ValueError, KeyError, ConfigError):
                text = json.loads(read_at_most(place, KNOWN_CAP))["text"]
                if isinstance(text, str) and re.fullmatch("[0-9a-f]{32}", text):
                    return self.known_text(text)
        return None

    def text(
        self, names: Sequence[str], reading: Reading, report: Report = silent, sha256: str | None = None
    ) -> StoredText:
        """The text of all that is named, read if it is not there.

        Args:
            names: files, directories, `-` for stdin, `corpus:NAME`.
            reading: how their bytes become documents.
            report: is told how many bytes are read, and of how many.
            sha256: what a text that is read must have; of another no copy is kept.

        Raises:
            RunError: what was read has another hash.
            TextError: a source cannot be read, or there is no text in them.
            ConfigError: there is no such encoding, or no such corpus.
        """
        files = list(expand_names(names, reading))
        states = [state_of(file) for file in files]
        paths = list(map(absolute, files))
        made_of = (paths, reading.model_dump(include=set(Reading.model_fields)), FORMAT)
        state_key = _key(*made_of, states)
        if (there := self._known(state_key)) is not None:
            return there
        began = time.time()
        with self._making("texts", _key(*made_of), waits=not any(map(is_read_once, files))) as folder:
            if (there := self._known(state_key)) is not None:  # made by another, while this one waited
                return there
            read = _read(names, files, reading, folder, report)
            if sha256 is not None:
                check_hash(name_of(names), read, sha256)
            text = self._keep(folder, read)
            settled = all(state is not None and max(state[3:]) < (began - SETTLED) * 1e9 for state in states)
            if settled and states == [state_of(file) for file in files]:
                known = self.path / "known" / f"{state_key}.json"
                known.parent.mkdir(exist_ok=True, mode=0o700)
                write_atomically(known, json.dumps({"text": read[:32], "files": paths[:100]}).encode())
        return text

    def _keep(self, folder: Path, sha256: str) -> StoredText:
        """What was read, in its place; whoever read the same from elsewhere may be about to put it there."""
        place = self.path / "texts" / sha256[:32]
        with alone(place.parent, place.name):
            if (there := self.known_text(sha256)) is not None:
                return there
            _move(folder, place)
            return StoredText(place)

    def known_text(self, sha256: str) -> StoredText | None:
        """The text of this hash, if it is there: what was read from stdin is nowhere else."""
        for place in self._places("texts", sha256[:32]):
            with contextlib.suppress(OSError, ValueError, ConfigError):
                text = StoredText(place).check()
                self._note_use(place)
                return text
        return None

    def tokenizer(self, parts: Split, data: DataConfig, config: TokenizerConfig, report: Report = silent) -> Tokenizer:
        """The tokenizer that `config` describes, built from the training part alone.

        Raises:
            ConfigError: `config` asks for what its kind does not have, or for less than this text needs.
            TokenizerError: the text cannot give such a vocabulary.
        """
        made_of = [_split_of(parts, data), config.model_dump(), FORMAT]
        folder = self.path / "tokenizers" / f"{parts.train.text.manifest.sha256[:OF_TEXT]}-{_key(*made_of)}"
        with contextlib.suppress(OSError, ValueError, TokenizerError):
            there = _load(folder)
            self._note_use(folder)
            return there
        report(f"building the {config.kind} vocabulary")
        with self._making("tokenizers", folder.name) as made:
            with contextlib.suppress(OSError, ValueError, TokenizerError):  # made by another, while this one waited
                return _load(folder)
            if config.kind in {"unigram", "bpe"} and parts.train.bytes >= BUILT_APART:
                made.mkdir(exist_ok=True)
                np.save(made / RANGES, parts.train.ranges)
                build_apart(parts.train.text.folder, made / RANGES, config, made)
                (made / RANGES).unlink()
            else:
                tokenizers.build(training_chunks(parts.train), config).save(made)
            (made / FINGERPRINT).write_text(tokenizers.load(made).fingerprint, "ascii")
            _move(made, folder)
            return _load(folder)

    def ids(self, parts: Split, data: DataConfig, tokenizer: Tokenizer, report: Report = silent) -> StoredIds:
        """The ids of both parts, encoded if they are not there."""
        key = _key(_split_of(parts, data), tokenizer.fingerprint, FORMAT)
        if (there := self._known_ids(key)) is not None:
            return there
        with self._making("ids", key) as made:
            if (there := self._known_ids(key)) is not None:  # made by another, while this one waited
                return there
            write_ids(made, parts, tokenizer, report)
            _move(made, self.path / "ids" / key)
            return StoredIds(self.path / "ids" / key)

    def _known_ids(self, key: str) -> StoredIds | None:
        for place in self._places("ids", key):
            with contextlib.suppress(OSError, ValueError, ConfigError):
                ids = StoredIds(place).check()
                self._note_use(place)
                return ids
        return None

    def _note_use(self, place: Path) -> None:
        """Note that an entry was used now; another store is left as it is."""
        if place.is_relative_to(self.path):
            note_use(place)

    @contextlib.contextmanager
    def _making(self, kind: str, key: str, *, waits: bool = True) -> Iterator[Path]:
        """Where something is being made, by this process alone.

        Another that makes the same waits for it; without `waits` it is not the same, and is made in a place beside.
        """
        from filelock import Timeout

        folder, keys = self.path / kind, [key] if waits else (f"{key}-{number}" for number in itertools.count())
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)  # texts are their owner's
            sweep_killed(folder)
            for name in keys:
                with contextlib.ExitStack() as stack:
                    try:
                        made = stack.enter_context(making(folder, name, -1 if waits else 0))
                    except Timeout:
                        continue
                    yield made
                return
        except OSError as error:
            full = "make room there, or " if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG} else ""
            raise SaveError(
                f"the store in {self.path} cannot be written: {error.strerror or error}; {full}name another directory "
                "by SEQGEN_STORE"
            ) from error


def _read(names: Sequence[str], files: Sequence[str], reading: Reading, folder: Path, report: Report) -> str:
    """Read sources into `folder`; the hash of their text."""
    total = sum(state[2] for state in map(state_of, files) if state is not None)
    if (message := pipe_notice(files)) is not None:
        report(message, 0, WAITING)
    progress = Progress(report, message or f"reading {name_of(names)}", total)
    manifest = write_text(files, reading, folder, progress.add)
    if not manifest.documents:
        skipped = issue_notices(name_of(names), manifest.tally, reading)
        raise TextError("; ".join([f"{name_of(names)} is empty, so give a text to work with", *skipped]))
    return manifest.sha256


def check_hash(name: str, found: str | None, expected: str | None) -> None:
    """Refuse a text that is not the one a run was started on, with a RunError."""
    if found != expected:
        raise RunError(
            f"{name} is not the text that this run was started on (SHA-256 {str(found)[:12]}..., then "
            f"{str(expected)[:12]}...); restore it, or start a new run with --init-from"
        )


def _load(folder: Path) -> Tokenizer:
    """A tokenizer of the store, if it is as it was made."""
    return tokenizers.load(folder, read_at_most(folder / FINGERPRINT, 64).decode("ascii"))


def _move(made: Path, folder: Path) -> None:
    """Give what is whole its name; what had it before was not."""
    shutil.rmtree(folder, ignore_errors=True)
    made.rename(folder)


def _split_of(parts: Split, data: DataConfig) -> list[Any]:
    """What decides which text is learnt from, and which is withheld."""
    valid = None if data.valid is None else parts.valid.text.manifest.sha256
    return [parts.train.text.manifest.sha256, valid, data.valid_split, data.valid_share]


def _key(*made_of: Any) -> str:
    return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:32]
