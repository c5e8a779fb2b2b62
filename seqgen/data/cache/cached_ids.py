"""Ids in the cache: those of the training split, then those of the validation split. No torch.

    ids.bin         the ids, each of 1, 2 or 4 bytes, little-endian: to be mapped
    starts.i64      where each part begins in it: int64, little-endian
    train.npy       the byte ranges of the parts in the stored text, int64 [N, 2]; valid.npy alike
    tokenizer/      what made them
    manifest.json   counts, hashes, the split; written last, so a directory without it is not whole

`write_ids` makes them shard by shard, and goes on after the last whole one where an earlier call was killed.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field

from seqgen.config import Config
from seqgen.data.cache.cached_text import MANIFEST, OFFSET, Span, check_files, hashes_of, open_at
from seqgen.data.cache.encode import SHARD, Counts, Encoded, Shard, encode_portion, plan_shards
from seqgen.data.cache.workers import encode_apart, processors
from seqgen.data.documents import Documents
from seqgen.data.leakage import Leakage, find_leakage
from seqgen.data.split import Split
from seqgen.errors import ConfigError
from seqgen.tokenizers.base import Tokenizer
from seqgen.utils.files import open_plain, read_at_most, write_atomically
from seqgen.utils.locks import PROGRESS, keep
from seqgen.utils.progress import Progress, Report

IDS, STARTS, TOKENIZER = "ids.bin", "starts.i64", "tokenizer"
RECORD_CAP = 1 << 20
"""Bytes that a manifest, or a note of progress, may have: a real one has a thousand."""
APART = 2 * SHARD
"""Bytes of text from which processes are started to encode it side by side: they take a third of a second to begin."""
SLOW = ("word", "unigram", "bpe")
"""Kinds that encode some megabytes a second; char and byte take hundreds, and gain nothing by processes."""


class IdsManifest(Config):
    """What stored ids are made of: texts and tokenizer by their hashes, and what was counted on the way."""

    format_version: Literal[1] = 1
    text_sha256: str
    valid_sha256: str | None
    tokenizer: str
    vocab_size: int
    dtype: Literal["<u1", "<u2", "<u4"]
    train: Counts = Counts()
    valid: Counts = Counts()
    leakage: Leakage | None = None
    files: dict[str, str] = Field(default_factory=dict)
    """The SHA-256 of `ids.bin` and `starts.i64`."""


class _Done(Config):
    """How far the writing came: shards of both portions, and what they held."""

    train_shards: int = 0
    valid_shards: int = 0
    train: Counts = Counts()
    valid: Counts = Counts()


class CachedIds:
    """Ids that `write_ids` has written, mapped; as long as they are, nobody prunes them.

    Raises:
        OSError, ValueError: they are not there, or not whole.
        ConfigError: the manifest is not one.
    """

    def __init__(self, folder: Path) -> None:
        self.manifest = IdsManifest.from_json(read_at_most(folder / MANIFEST, RECORD_CAP), str(folder / MANIFEST))
        train, valid = self.manifest.train, self.manifest.valid
        for name in (IDS, STARTS):
            open_plain(folder / name).close()  # a pipe would never end
        ids: np.memmap[Any, Any] = np.memmap(
            folder / IDS, dtype=self.manifest.dtype, mode="r", shape=(train.tokens + valid.tokens,)
        )
        keep(folder, ids)  # on which the ids of both parts are views
        starts = np.fromfile(folder / STARTS, dtype=OFFSET, count=train.documents + valid.documents)
        if len(starts) != train.documents + valid.documents:
            raise OSError(errno.EIO, "it is cut short", str(folder / STARTS))
        both, cut, end = ids.view(np.ndarray), train.documents, train.tokens + valid.tokens
        self.train = Documents(both[: train.tokens], np.append(starts[:cut], train.tokens))
        self.valid = Documents(both[train.tokens :], np.append(starts[cut:], end) - train.tokens)
        self._folder = folder

    def check(self) -> Self:
        """Itself, if every byte is as it was written; a second for each gigabyte or two.

        Raises:
            OSError: one is not.
        """
        check_files(self._folder, (IDS, STARTS), self.manifest.files)
        return self


def dtype_for(vocab_size: int) -> Literal["<u1", "<u2", "<u4"]:
    """The smallest type that holds every id."""
    return "<u1" if vocab_size <= 1 << 8 else "<u2" if vocab_size <= 1 << 16 else "<u4"


def write_ids(folder: Path, split: Split, tokenizer: Tokenizer, report: Report, workers: int | None = None) -> None:
    """Encode the parts into `folder`, going on where an earlier call was killed.

    Args:
        folder: is made if it is not there.
        split: what is learnt from, and what is withheld.
        tokenizer: what encodes them.
        report: is told how many bytes of the texts are done, and of how many.
        workers: processes that encode side by side; None is as many as there are processors, where that pays. The ids
            do not depend on it.

    Raises:
        OSError: the cache cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)
    tokenizer.save(folder / TOKENIZER)
    for name, span in (("train", split.train), ("valid", split.valid)):
        np.save(folder / f"{name}.npy", span.ranges)
    done = _done_in(folder)
    dtype = dtype_for(tokenizer.vocab_size)
    progress = Progress(report, "encoding", _total_bytes(split, tokenizer))
    progress.add(done.train.bytes + done.valid.bytes)
    with _Writer(folder, done, dtype) as writer:
        for name, span in (("train", split.train), ("valid", split.valid)):
            shards = plan_shards(span)[getattr(done, f"{name}_shards") :]
            crew = (workers or processors()) if tokenizer.kind in SLOW and span.bytes >= APART else 1
            for encoded in _encode(folder, name, span, shards, tokenizer, dtype, crew):
                for some in encoded:
                    writer.add(name, some)
                    progress.add(some.counts.bytes)
                writer.end_shard(name)
        report("looking for what stands on both sides of the split")
        found = find_leakage(split.train, split.valid) if len(split.valid.ranges) else None
        writer.finish(
            IdsManifest(
                text_sha256=split.train.text.manifest.sha256,
                valid_sha256=None if split.valid.text is split.train.text else split.valid.text.manifest.sha256,
                tokenizer=tokenizer.fingerprint,
                vocab_size=tokenizer.vocab_size,
                dtype=dtype,
                leakage=found,
            )
        )


def _total_bytes(split: Split, tokenizer: Tokenizer) -> int:
    """Bytes of both split, as `Counts` has them."""
    if tokenizer.text_encoding == "utf-8":
        return split.train.bytes + split.valid.bytes
    texts = {span.text.folder: span.text for span in (split.train, split.valid)}
    return sum(text.manifest.characters for text in texts.values())  # which are bytes, two in UTF-8 where over 0x7f


def _encode(
    folder: Path, name: str, span: Span, shards: list[Shard], tokenizer: Tokenizer, dtype: str, workers: int
) -> Iterator[Iterable[Encoded]]:
    """What each shard gives, in their order, here or by processes."""
    spell = name == "valid"
    if workers > 1:
        job = {
            "text": str(span.text.folder), "parts": str(folder / f"{name}.npy"),
            "tokenizer": str(folder / TOKENIZER), "dtype": dtype, "spell": spell,
        }  # fmt: skip
        yield from encode_apart(job, shards, workers)
        return
    for shard in shards:
        some = Span(span.text, shard.ranges(span.ranges))
        goes_on = shard.start > span.ranges[shard.first, 0]
        yield encode_portion(some, tokenizer, dtype, goes_on=goes_on, spell=spell)


class _Writer:
    """The files of stored ids while they are written."""

    def __init__(self, folder: Path, done: _Done, dtype: str) -> None:
        self._folder, self._done = folder, done
        self._counts = {"train": done.train, "valid": done.valid}
        self._size = np.dtype(dtype).itemsize

    def __enter__(self) -> _Writer:
        self._ids = open_at(self._folder / IDS, self._size * self._tokens)
        self._starts = open_at(self._folder / STARTS, 8 * (self._done.train.documents + self._done.valid.documents))
        for file in (self._ids, self._starts):
            file.seek(0, os.SEEK_END)
        return self

    def __exit__(self, *error: object) -> None:
        self._ids.close()
        self._starts.close()

    @property
    def _tokens(self) -> int:
        return self._counts["train"].tokens + self._counts["valid"].tokens

    def add(self, name: str, encoded: Encoded) -> None:
        self._starts.write((encoded.starts + self._tokens).astype(OFFSET).tobytes())
        self._ids.write(encoded.ids.tobytes())
        self._counts[name] = self._counts[name].plus(encoded.counts)

    def end_shard(self, name: str) -> None:
        shards = getattr(self._done, f"{name}_shards") + 1
        self._done = self._done.model_copy(update={f"{name}_shards": shards, name: self._counts[name]})
        if self._counts[name].bytes >= SHARD:  # of less there is nothing to go on with
            self._sync()
            write_atomically(self._folder / PROGRESS, self._done.model_dump_json().encode())

    def finish(self, manifest: IdsManifest) -> None:
        self._sync()
        files = hashes_of(self._folder, (IDS, STARTS))
        counted = manifest.model_copy(update={**self._counts, "files": files})
        write_atomically(self._folder / MANIFEST, counted.model_dump_json(indent=1).encode())
        (self._folder / PROGRESS).unlink(missing_ok=True)

    def _sync(self) -> None:
        for file in (self._ids, self._starts):
            file.flush()
            os.fsync(file.fileno())


def _done_in(folder: Path) -> _Done:
    """How far an earlier call came, if its files are still as long."""
    try:
        done = _Done.from_json(read_at_most(folder / PROGRESS, RECORD_CAP), PROGRESS)
        starts = (folder / STARTS).stat().st_size // 8
    except (OSError, ConfigError):
        return _Done()
    return done if starts >= done.train.documents + done.valid.documents else _Done()
