"""From the settings to ids, one way for training and for commands: sources -> text -> split -> tokenizer -> ids.

`read_texts` reads and splits, `Texts.tokenizer` builds a tokenizer, `Texts.ids` encodes. Each step is found in the
cache if it was done before. No torch.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from seqgen.data.cache.cache import Cache, cache_path
from seqgen.data.cache.cached_ids import CachedIds
from seqgen.data.cache.cached_text import CachedText
from seqgen.data.config import DataConfig
from seqgen.data.leakage import find_pair_leakage
from seqgen.data.split import DEFAULT_SHARE, MIN_CHARACTERS, Split, split_text
from seqgen.errors import ConfigError, RunError, TextError
from seqgen.sources.config import LABELING_TASKS, is_path, name_of
from seqgen.sources.misreading import SAMPLE_CHARACTERS, describe_misreading
from seqgen.sources.names import is_read_once, reject_unused_settings, unselected_notices
from seqgen.sources.prose import describe_prose
from seqgen.sources.source import issue_notices
from seqgen.tokenizers.auto import TextStatistics
from seqgen.tokenizers.base import Tokenizer
from seqgen.tokenizers.config import TokenizerConfig
from seqgen.utils.progress import Report, silent
from seqgen.utils.text import plural

PASSAGE_LINES = 64
"""How many lines that follow one another are checked for cut sentences, at each of `SAMPLES` places."""
SAMPLES = 16
"""How many places of a text are checked for signs that it was misread: some tens of milliseconds."""


class Recorded(Protocol):
    """The hashes that a run has recorded of its texts."""

    @property
    def sha256(self) -> str: ...
    @property
    def valid_sha256(self) -> str | None: ...


@dataclass(frozen=True)
class Texts:
    """The texts that the settings name, cached, and their split."""

    cache: Cache
    data: DataConfig
    text: CachedText
    valid: CachedText | None
    split: Split

    def tokenizer(self, config: TokenizerConfig, report: Report = silent) -> Tokenizer:
        """Return the tokenizer that `config` describes, built from the training text; raises as `Cache.tokenizer`."""
        self._check_bytes(config.kind, raw=config.raw)
        return self.cache.tokenizer(self.encoded, self.data, config, report)

    def ids(self, tokenizer: Tokenizer, report: Report = silent) -> CachedIds:
        """Return the ids of the training and the validation text, encoded if they are not cached.

        Raises:
            ConfigError: the texts were read as bytes, and the tokenizer is not of bytes; or the other way round.
        """
        self._check_bytes(tokenizer.kind, raw=tokenizer.text_encoding == "latin-1")
        train, valid, task = self.split.train, self.split.valid, self.data.task
        compare = partial(find_pair_leakage, train, valid, task) if self.data.has_pairs else None
        return self.cache.ids(self.encoded, self.data, tokenizer, report, compare=compare)

    @property
    def encoded(self) -> Split:
        """What becomes ids: all of the texts, but of pairs whose targets are labels only the sources."""
        if self.data.task not in LABELING_TASKS:
            return self.split
        return replace(self.split, train=self.split.train.every(2), valid=self.split.valid.every(2))

    def _check_bytes(self, kind: str, *, raw: bool) -> None:
        if raw and not self.data.is_raw:
            raise ConfigError("encoding: this tokenizer is of raw bytes; use --encoding bytes")
        if self.data.is_raw and not raw:
            raise ConfigError(
                f"encoding: bytes need a byte tokenizer that was built with --encoding bytes; this {kind} tokenizer "
                "was built from text"
            )

    @property
    def statistics(self) -> TextStatistics:
        """What the defaults of a run are chosen by; of the whole text, withheld parts included."""
        samples = (sample for _, sample in self.text.samples(SAMPLES, SAMPLE_CHARACTERS))
        manifest, sides = self.text.manifest, None
        if self.data.has_pairs:  # labels are not text: only the sources count
            sides = manifest.documents // (2 if self.data.task in LABELING_TASKS else 1)
        return TextStatistics.of(manifest.characters, samples, sides=sides)

    @property
    def notices(self) -> list[str]:
        """What the user should know of the texts, a sentence each."""
        names = (*self.data.text, *([] if self.data.valid is None else [self.data.valid]))
        notices = unselected_notices(names, self.data)
        for name, text in ((self.data.name, self.text), (str(self.data.valid), self.valid)):
            if text is None:
                continue
            issues = text.manifest.issues
            if self.data.documents == "line" and (prose := describe_prose(text.passages(SAMPLES, PASSAGE_LINES))):
                notices.append(f"{name} {prose}")
                issues.empty = 0  # blank lines between paragraphs: the notice about prose says enough
            notices += issue_notices(name, issues, self.data)
            if self.data.is_raw:
                continue
            in_order = text is self.text and self.split.rule in {"blocks", "tail"}
            if looks := describe_misreading(text.samples(SAMPLES, SAMPLE_CHARACTERS), in_order=in_order):
                notices.append(f"{name} {looks}")
        return notices


def read_texts(data: DataConfig, report: Report = silent, record: Recorded | None = None) -> Texts:
    """Read and split the texts that `data` names, or find them in the cache.

    Args:
        data: the settings.
        report: receives what is being done.
        record: of a run that is resumed or evaluated: a text from stdin, a pipe or the catalog is found by its hash.

    Raises:
        TextError: a text cannot be read, or is too short.
        ConfigError: a setting would change nothing for these texts.
        SaveError: the cache cannot be written.
        RunError: what was read is not the recorded text.
    """
    cache_dir = data.cache_dir
    if record is None:
        reject_unused_settings((*data.text, *([] if data.valid is None else [data.valid])), data)
    elif cache_dir is not None and not Path(cache_dir).is_dir():  # the run was moved to another machine
        cache_dir = None
    cache = Cache(cache_path(cache_dir))
    text = _text(cache, data.text, data, report, None if record is None else record.sha256)
    if text.manifest.characters < 2:
        raise TextError(
            f"{data.name} has {text.manifest.characters} character; there is nothing to predict, give a longer text"
        )
    valid = None
    if data.valid is not None:
        # "" is the hash of no text: a run that was started without a validation text refuses one now
        valid = _text(cache, (data.valid,), data, report, None if record is None else record.valid_sha256 or "")
        if valid.manifest.characters < MIN_CHARACTERS and not data.has_pairs:
            raise TextError(
                f"{data.valid} has {plural(valid.manifest.characters, 'character')}, too few to validate on (at least "
                f"{MIN_CHARACTERS}); name a longer text, or leave --valid out to withhold {100 * DEFAULT_SHARE:g}% of "
                "the training text"
            )
    try:
        return Texts(cache, data, text, valid, split_text(text, data, valid))
    except TextError as error:
        raise TextError(f"{data.name}: {error}") from error


def _text(cache: Cache, names: tuple[str, ...], data: DataConfig, report: Report, sha256: str | None) -> CachedText:
    """Return a text; the recorded text of a run is found by its hash where it has no files to be read again."""
    read_once = [name for name in names if is_read_once(name)]
    missing = any(is_path(name) and not os.path.lexists(name) for name in names)  # as a pipe may be after its use
    from_files = any(map(is_path, names)) and not read_once and not missing
    if sha256 is not None and not from_files and (found := cache.find_text(sha256)) is not None:
        return found
    if sha256 is None or not read_once:
        return cache.text(names, data, report, sha256)
    raise RunError(
        f"this run was started on {name_of(read_once)}, which can be read only once, and its text is no longer in the "
        f"cache in {cache.path}; save the text to a file, and start a new run on it"
    )
