"""Write the ids of a split: in this process, or by one process for each shard. No torch."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np

from seqgen.data.cache.cached_ids import (
    IDS,
    MANIFEST_LIMIT_BYTES,
    STARTS,
    TOKENIZER,
    IdDtype,
    IdsManifest,
    smallest_dtype,
)
from seqgen.data.cache.cached_text import MANIFEST, OFFSET_DTYPE, Span, hash_files
from seqgen.data.cache.encode import Counts, IdsFiles, encode_span, plan_shards
from seqgen.data.cache.workers import COUNTS, RANGES, processors, run_workers
from seqgen.data.leakage import Leakage, PairLeakage, find_leakage
from seqgen.data.split import Split
from seqgen.tokenizers.base import Tokenizer
from seqgen.utils.files import read_at_most, write_atomically
from seqgen.utils.progress import Progress, Report

Compare: TypeAlias = Callable[[], Leakage | PairLeakage]
PARALLEL_BYTES = 1 << 23
"""Bytes of text from which several processes encode it: they take a third of a second to start."""
SLOW_KINDS = ("word", "unigram", "bpe")
"""Tokenizers that encode some megabytes a second; char and byte do hundreds, and gain nothing by processes."""


def write_ids(
    folder: Path,
    split: Split,
    tokenizer: Tokenizer,
    report: Report,
    workers: int | None = None,
    *,
    compare: Compare | None = None,
) -> None:
    """Encode both parts of a split into `folder`.

    Args:
        folder: where to write; it must not exist.
        split: the training and the validation text.
        tokenizer: what encodes them.
        report: receives how many bytes of the texts are encoded, and of how many.
        workers: how many processes encode side by side; None chooses by the size of the text and the number of
            processors. The ids do not depend on it.
        compare: finds what both parts have; None compares the texts that are encoded.

    Raises:
        OSError: the folder cannot be written.
        SaveError: a worker process ended early.
    """
    folder.mkdir()
    tokenizer.save(folder / TOKENIZER)
    dtype = smallest_dtype(tokenizer.vocab_size)
    progress = Progress(report, "encoding", split.train.bytes + split.valid.bytes)
    counts = []
    with (folder / IDS).open("wb") as ids, (folder / STARTS).open("wb") as starts:
        files = IdsFiles(ids, starts, dtype)
        for span, spell in ((split.train, False), (split.valid, True)):
            is_slow = tokenizer.kind in SLOW_KINDS and span.bytes >= PARALLEL_BYTES
            processes = workers or (processors() if is_slow else 1)
            if processes > 1:
                counts.append(_encode_in_processes(folder, span, processes, files, spell=spell, watch=progress.add))
            else:
                counts.append(encode_span(span, tokenizer, files, spell=spell, watch=progress.add))
            end_bytes = int(split.end_bytes(span).sum())
            counts[-1] = counts[-1].plus(Counts(bytes=end_bytes, characters=end_bytes))
        for file in (ids, starts):
            file.flush()
            os.fsync(file.fileno())
    report("comparing the training text with the validation text")
    compare = compare or (lambda: find_leakage(split.train, split.valid))
    leakage = compare() if len(split.valid.ranges) else None
    _write_manifest(folder, split, tokenizer, dtype, counts, leakage)


def _encode_in_processes(
    folder: Path, span: Span, processes: int, files: IdsFiles, *, spell: bool, watch: Callable[[int], None]
) -> Counts:
    """Encode a span as `encode_span` does, by a process for each shard, and append what each wrote to `files`."""
    jobs = []
    for number, shard in enumerate(plan_shards(span, math.ceil(span.bytes / processes))):
        part = folder / f"shard-{number}"
        part.mkdir()
        np.save(part / RANGES, shard.ranges)
        jobs.append(
            {
                "task": "encode", "folder": str(part), "text": str(span.text.folder), "continued": shard.continued,
                "tokenizer": str(folder / TOKENIZER), "dtype": files.dtype, "spell": spell,
            }
        )  # fmt: skip
    run_workers(jobs, watch)
    total = Counts()
    for part in (Path(str(job["folder"])) for job in jobs):
        counts = Counts.from_json(read_at_most(part / COUNTS, MANIFEST_LIMIT_BYTES), COUNTS)
        with (part / IDS).open("rb") as ids:
            shutil.copyfileobj(ids, files.ids)
        files.starts.write((np.fromfile(part / STARTS, OFFSET_DTYPE) + files.tokens).tobytes())
        files.tokens += counts.tokens
        total = total.plus(counts)
        shutil.rmtree(part)
    return total


def _write_manifest(
    folder: Path,
    split: Split,
    tokenizer: Tokenizer,
    dtype: IdDtype,
    counts: list[Counts],
    leakage: Leakage | PairLeakage | None,
) -> None:
    train, valid = counts
    manifest = IdsManifest(
        text_sha256=split.train.text.manifest.sha256,
        valid_sha256=None if split.valid.text is split.train.text else split.valid.text.manifest.sha256,
        tokenizer=tokenizer.fingerprint,
        vocab_size=tokenizer.vocab_size,
        dtype=dtype,
        train=train,
        valid=valid,
        leakage=leakage,
        files=hash_files(folder, (IDS, STARTS)),
    )
    write_atomically(folder / MANIFEST, manifest.model_dump_json(indent=1).encode())
