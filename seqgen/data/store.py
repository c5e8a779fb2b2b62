"""The store: texts, tokenizers and ids that were made once, under names that are hashes of what made them. No torch.

    texts/        a stored text each, by the hash of its documents    (stored_text.py)
    tokenizers/   what was built, by text, split and settings
    ids/          stored ids, by text, split and tokenizer            (stored_ids.py)
    known/        which text the files of a name, size and time hold, so that they need not be read to be known again

The sources are read once. What is made from them is made from the stored text: its vocabulary by a second pass, over
the training part alone, its ids by a third. Everything here can be removed at any time, and is made again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seqgen import tokenizers
from seqgen.data.config import DataConfig, Reading, name_of
from seqgen.data.encoding import training_chunks
from seqgen.data.progress import Progress, Report, silent
from seqgen.data.sources import expand
from seqgen.data.split import Parts
from seqgen.data.stored_ids import StoredIds, write_ids
from seqgen.data.stored_text import StoredText, state_of, write_text
from seqgen.data.workers import build_apart
from seqgen.errors import ConfigError, SaveError, TextError, TokenizerError
from seqgen.files import write_atomically
from seqgen.tokenizers.base import Tokenizer
from seqgen.tokenizers.config import TokenizerConfig

BUILT_APART = 1 << 22
"""Bytes of text from which a subword tokenizer is built in a process of its own, for the memory that it takes."""
FORMAT = 1
"""Another whenever the same settings, on the same text, give another vocabulary or other ids."""
RANGES = "ranges.npy"
SETTLED = 2.0
"""Seconds after which a file's time tells that it was not changed since: the clocks of file systems tick."""


def store_path(directory: str | None = None) -> Path:
    """Where the store is: the directory given, or $SEQGEN_STORE, or the user's cache."""
    import platformdirs

    return Path(directory or os.environ.get("SEQGEN_STORE") or platformdirs.user_cache_path("seqgen") / "store")


def size_of(path: Path) -> int:
    """Bytes of all files beneath a directory."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


class Store:
    """What there is under one directory, and what is made there when it is asked for.

    Raises, from each of its methods:
        SaveError: the store cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def text(self, names: Sequence[str], reading: Reading, report: Report = silent) -> StoredText:
        """The text of all that is named, read if it is not there.

        Raises:
            TextError: a source cannot be read, or there is no text in them.
            ConfigError: there is no such encoding, or no such corpus.
        """
        files = list(expand(names, reading))
        options = reading.model_dump(include=set(Reading.model_fields))
        states = [state_of(file) for file in files]
        known = self.path / "known" / f"{_key(files, options, states)}.json"
        with contextlib.suppress(OSError, ValueError, KeyError, ConfigError):
            return StoredText(self.path / "texts" / json.loads(known.read_bytes())["text"])
        began = time.time()
        with self._making("texts", _key(files, options)) as folder:
            total = sum(state[2] for state in states if state is not None)
            progress = Progress(report, f"reading {name_of(names)}", total)
            manifest = write_text(files, reading, folder, progress.add)
            if not manifest.documents:
                shutil.rmtree(folder)
                raise TextError(f"{name_of(names)} is empty; give a text to work with")
            key = manifest.sha256[:32]
            target = self.path / "texts" / key
            if self.known_text(manifest.sha256) is None:
                _move(folder, target)
            else:
                shutil.rmtree(folder)
            settled = all(state is not None and max(state[3:]) < (began - SETTLED) * 1e9 for state in states)
            if settled and states == [state_of(file) for file in files]:
                known.parent.mkdir(exist_ok=True)
                write_atomically(known, json.dumps({"text": key, "files": files[:100]}).encode())
        return StoredText(target)

    def known_text(self, sha256: str) -> StoredText | None:
        """The text of this hash, if it is there: what was read from stdin is nowhere else."""
        with contextlib.suppress(OSError, ValueError, ConfigError):
            return StoredText(self.path / "texts" / sha256[:32])
        return None

    def tokenizer(self, parts: Parts, data: DataConfig, config: TokenizerConfig, report: Report = silent) -> Tokenizer:
        """The tokenizer that `config` describes, built from the training part alone.

        Raises:
            ConfigError: `config` asks for what its kind does not have, or for less than this text needs.
            TokenizerError: the text cannot give such a vocabulary.
        """
        made_of = [_split_of(parts, data), config.model_dump(), FORMAT]
        folder = self.path / "tokenizers" / _key(*made_of)
        with contextlib.suppress(TokenizerError):
            return tokenizers.load(folder)
        report(f"building the {config.kind} vocabulary")
        with self._making("tokenizers", folder.name) as made:
            if config.kind in {"unigram", "bpe"} and parts.train.bytes >= BUILT_APART:
                made.mkdir(exist_ok=True)
                np.save(made / RANGES, parts.train.ranges)
                build_apart(parts.train.text.folder, made / RANGES, config, made)
                (made / RANGES).unlink()
            else:
                tokenizers.build(training_chunks(parts.train), config).save(made)
            _move(made, folder)
        return tokenizers.load(folder)

    def ids(self, parts: Parts, data: DataConfig, tokenizer: Tokenizer, report: Report = silent) -> StoredIds:
        """The ids of both parts, encoded if they are not there."""
        folder = self.path / "ids" / _key(_split_of(parts, data), tokenizer.fingerprint, FORMAT)
        with contextlib.suppress(OSError, ValueError, ConfigError):
            return StoredIds(folder)
        with self._making("ids", folder.name, folder):
            write_ids(folder, parts, tokenizer, report)
        return StoredIds(folder)

    @contextlib.contextmanager
    def _making(self, kind: str, key: str, folder: Path | None = None) -> Iterator[Path]:
        """Where something is being made, by this process alone; another that makes the same waits for it."""
        from filelock import FileLock

        try:
            (self.path / kind).mkdir(parents=True, exist_ok=True, mode=0o700)  # texts are their owner's
            with FileLock(self.path / kind / f".{key}.lock"):
                yield folder or self.path / kind / f".making-{key}"
        except OSError as error:
            raise SaveError(
                f"the store in {self.path} cannot be written: {error.strerror or error}; make room there, or choose "
                "another directory with --store"
            ) from error


def _move(made: Path, folder: Path) -> None:
    """Give what is whole its name; what had it before was not."""
    shutil.rmtree(folder, ignore_errors=True)
    made.rename(folder)


def _split_of(parts: Parts, data: DataConfig) -> list[Any]:
    """What decides which text is learnt from, and which is withheld."""
    return [parts.train.text.manifest.sha256, parts.valid.text.manifest.sha256, data.valid_split, data.valid_share]


def _key(*made_of: Any) -> str:
    return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:32]
