"""What a user names -> text -> parts -> tokenizer -> ids: one way, for training and for commands. No torch."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from seqgen.data.cache.cache import Cache, cache_path
from seqgen.data.cache.stored_ids import StoredIds
from seqgen.data.cache.stored_text import StoredText
from seqgen.data.config import DataConfig
from seqgen.data.split import MINIMUM, SHARE, Split, split_text
from seqgen.errors import ConfigError, RunError, TextError
from seqgen.sources.config import is_path, name_of
from seqgen.sources.misreading import SAMPLE_CHARACTERS, describe_misreading
from seqgen.sources.source import is_read_once, issue_notices, reject_unused_settings
from seqgen.tokenizers.base import Tokenizer
from seqgen.tokenizers.config import TokenizerConfig
from seqgen.utils.progress import Report, silent
from seqgen.utils.text import plural

PIECES = 16
"""Of a text, so many are looked at for what its user may not know: some tens of milliseconds."""


class Recorded(Protocol):
    """What a run has noted of its texts."""

    @property
    def sha256(self) -> str: ...
    @property
    def valid_sha256(self) -> str | None: ...


@dataclass(frozen=True)
class Texts:
    """The texts that settings name, in the store, and their parts."""

    store: Cache
    data: DataConfig
    text: StoredText
    valid: StoredText | None
    parts: Split

    def tokenizer(self, config: TokenizerConfig, report: Report = silent) -> Tokenizer:
        """The tokenizer that `config` describes, built from the training part alone; errors as of `Cache.tokenizer`."""
        self._check_bytes(config.kind, raw=config.raw)
        return self.store.tokenizer(self.parts, self.data, config, report)

    def ids(self, tokenizer: Tokenizer, report: Report = silent) -> StoredIds:
        """The ids of both parts, encoded if they are not there.

        Raises:
            ConfigError: the texts were read as bytes, and the tokenizer is of text; or the other way round.
        """
        self._check_bytes(tokenizer.kind, raw=tokenizer.text_encoding == "latin-1")
        return self.store.ids(self.parts, self.data, tokenizer, report)

    def _check_bytes(self, kind: str, *, raw: bool) -> None:
        if raw and not self.data.is_raw:
            raise ConfigError("encoding: this tokenizer is of bytes as they are; say --encoding bytes")
        if self.data.is_raw and not raw:
            raise ConfigError(
                f"encoding: bytes need a byte tokenizer that was built with --encoding bytes; this {kind} tokenizer "
                "was built from text"
            )

    @property
    def notices(self) -> list[str]:
        """What the user should know of them, a sentence each."""
        stored = [(self.data.name, self.text), (str(self.data.valid), self.valid)]
        notices = []
        for name, text in stored:
            if text is None:
                continue
            notices += issue_notices(name, text.manifest.tally, self.data)
            in_blocks = text is self.text and self.data.valid_split in {"blocks", "tail"}
            if not self.data.is_raw and (
                looks := describe_misreading(text.pieces(PIECES, SAMPLE_CHARACTERS), in_order=in_blocks)
            ):
                notices.append(f"{name} {looks}")
        return notices


def read_texts(data: DataConfig, report: Report = silent, record: Recorded | None = None) -> Texts:
    """Read and split the texts that `data` names, or find them in the store.

    Args:
        data: the settings.
        report: is told what is being done.
        record: of a run that goes on: what stdin, a pipe or the catalogue gave to it is looked for in the store.

    Raises:
        TextError: a text cannot be read, or is too short.
        ConfigError: a setting would change nothing for these texts.
        SaveError: the store cannot be written.
        RunError: what was read for a run that goes on is not its text.
    """
    if record is None:
        store = Cache(cache_path(data.store))
        reject_unused_settings((*data.text, *([] if data.valid is None else [data.valid])), data)
    else:  # whoever wrote a run's config names no place where something is made; it may be looked for there
        store = Cache(cache_path(), beside=None if data.store is None else Path(data.store))
    text = _stored(store, data.text, data, report, None if record is None else record.sha256)
    if text.manifest.characters < 2:
        raise TextError(
            f"{data.name} has {text.manifest.characters} character; there is nothing to predict, give a longer text"
        )
    valid = None
    if data.valid is not None:
        # "" is no text's: a run that was started without a validation text has none to be read now
        valid = _stored(store, (data.valid,), data, report, None if record is None else record.valid_sha256 or "")
        if valid.manifest.characters < MINIMUM:
            raise TextError(
                f"{data.valid} has {plural(valid.manifest.characters, 'character')}, too few to validate on (at least "
                f"{MINIMUM}); name a longer text, or leave --valid out to withhold {100 * SHARE:g}% of the other"
            )
    try:
        return Texts(store, data, text, valid, split_text(text, data, valid))
    except TextError as error:
        raise TextError(f"{data.name}: {error}") from error


def _stored(store: Cache, names: tuple[str, ...], data: DataConfig, report: Report, sha256: str | None) -> StoredText:
    """A text; of a run that goes on, what has no state to be known again by is first looked for by its hash."""
    once = [name for name in names if is_read_once(name)]
    gone = any(is_path(name) and not os.path.lexists(name) for name in names)  # as a pipe's name is after its use
    if sha256 is None or (not once and not gone and any(map(is_path, names))):
        return store.text(names, data, report, sha256)
    if (found := store.known_text(sha256)) is not None:
        return found
    if not once:
        return store.text(names, data, report, sha256)
    raise RunError(
        f"this run was started on {name_of(once)}, which can be read once, and the store in {store.path} has its text "
        "no more; save the text to a file, and start a new run on it"
    )
