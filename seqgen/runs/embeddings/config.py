"""The config of a run of word vectors (config.json), and how a user's settings become one. No torch."""

from __future__ import annotations

import difflib
import hashlib
import json
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pydantic_core

from seqgen.config import RUN, TEXT, Config, FileName, Setting, setting, settings_of
from seqgen.data.config import DataConfig
from seqgen.embeddings.config import RATES, EmbeddingModelConfig, EmbeddingTrainingConfig
from seqgen.errors import ConfigError
from seqgen.runs.config import Sha256, TokenizerRecord, tokenizer_settings
from seqgen.sources.config import BYTES, Reading
from seqgen.tokenizers.auto import AUTO
from seqgen.tokenizers.config import TokenizerConfig, TokenizerKind

WORDS = 1_000_000
"""The largest vocabulary of the word tokenizer, from which `min_count` chooses. Words that occur once are in it only
with `lowercase` or a `min_count` of 1."""
LENGTH_SETTINGS = ("epochs", "max_time")
CHANGEABLE_SETTINGS = (*LENGTH_SETTINGS, "threads")
"""Settings that may change when a run is resumed; `epochs` alone clears `max_time`, and the reverse."""
KIND: Literal["word vectors"] = "word vectors"
_OF_PAIRS = ("task", "source_field", "target_field")


class EmbeddingRunOptions(Config):
    """The settings of neither the model nor the training: the directory of the run, and the tokenizer."""

    out: FileName | None = setting(
        None, "Directory of the run.", RUN, shown="runs/<text>-<method>", metavar="DIR", accepts=str | Path | None
    )
    resume: bool = setting(False, "Continue the run in --out, or the newest run of word vectors.", RUN)
    tokenizer: FileName = setting(
        "word",
        "What words are: word, or the pieces of char, byte, unigram, bpe, or of a directory made by `seqgen tokenizer "
        "build`.",
        TEXT,
        metavar="KIND|DIR",
        accepts=TokenizerKind | str | Path,
    )


def embedding_settings() -> dict[str, Setting]:
    """Return every setting of `seqgen embed train` but its text, by name."""
    own = settings_of(EmbeddingModelConfig, EmbeddingTrainingConfig, EmbeddingRunOptions, TokenizerConfig, Reading)
    own["cache_dir"] = settings_of(DataConfig)["cache_dir"]
    own["vocab_size"] = own["vocab_size"]._replace(shown="word all words; unigram, bpe 2000")
    return {name: one for name, one in own.items() if name not in _OF_PAIRS}


class WordsRecord(Config):
    """The text of a run and its vocabulary: their hashes and sizes."""

    sha256: Sha256
    valid_sha256: None = None
    characters: int
    tokens: int
    """Ids of the text."""
    words: int
    """Occurrences of the words of the vocabulary."""
    vocabulary: int
    vocabulary_sha256: Sha256


class EmbeddingRunConfig(Config):
    """Everything that a run of word vectors is made from: with it and the text, the run can be repeated."""

    kind: Literal["word vectors"] = KIND
    format_version: Literal[1] = 1
    seqgen: str
    created: str
    model: EmbeddingModelConfig
    tokenizer: TokenizerRecord
    data: DataConfig
    text: WordsRecord
    training: EmbeddingTrainingConfig
    environment: dict[str, str | int]

    @property
    def identity(self) -> str:
        """A hash of the settings that determine the vectors of a step; the file of the vectors has it."""
        training = self.training.model_dump(exclude={*CHANGEABLE_SETTINGS, "engine"})
        parts = [self.model.model_dump(), self.tokenizer.fingerprint, self.text.model_dump(), training]
        return hashlib.sha256(json.dumps([*parts, self.environment["engine"]]).encode()).hexdigest()

    def to_json(self) -> bytes:
        """Return the content of config.json."""
        return (self.model_dump_json(indent=2) + "\n").encode()


def is_embedding_config(content: bytes) -> bool:
    """Whether the content of a config.json is of a run of word vectors."""
    try:
        values = pydantic_core.from_json(content)
    except ValueError:
        return False
    return isinstance(values, dict) and values.get("kind") == KIND


class EmbeddingSettings(NamedTuple):
    """A user's settings, sorted into configs and completed by defaults."""

    model: EmbeddingModelConfig
    training: EmbeddingTrainingConfig
    tokenizer: TokenizerConfig
    data: DataConfig
    tokenizer_from: str | None
    """The directory of an existing tokenizer; `tokenizer` is then unused."""


def resolve_settings(settings: dict[str, Any]) -> EmbeddingSettings:
    """Sort flat settings, named as the flags are, into configs.

    Raises:
        ConfigError: a setting is unknown, impossible, or would have no effect.
    """
    settings = dict(settings)
    raw = settings.get("encoding") == BYTES
    named = settings.pop("tokenizer", "byte" if raw else "word")
    if named == AUTO:
        raise ConfigError("tokenizer: auto chooses for language models; name a kind, or leave it out for word")
    tokenizer, tokenizer_from = tokenizer_settings(named, settings)
    if raw and tokenizer_from is None:
        tokenizer["raw"] = True
    if named == "word":
        # A word that occurs once may be another one in lower case, and count with it.
        keep_rare = settings.get("min_count") == 1 or bool(settings.get("lowercase"))
        tokenizer |= {"vocab_size": WORDS, "keep_rare": keep_rare}
    values: dict[type[Config], dict[str, Any]] = {
        EmbeddingModelConfig: {}, EmbeddingTrainingConfig: {}, TokenizerConfig: tokenizer,
        DataConfig: {"valid_split": "none"},
    }  # fmt: skip
    known = {*embedding_settings(), "text"} - {"out", "resume", "tokenizer"}
    for name, value in settings.items():
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            raise ConfigError(f"{name}: unknown setting" + (f"; did you mean {close[0]}?" if close else ""))
        owner = next(config for config in values if name in config.model_fields)
        values[owner][name] = value
    model = EmbeddingModelConfig.of(**values[EmbeddingModelConfig])
    if model.loss == "softmax" and "negative" in settings:
        raise ConfigError("negative: --loss softmax scores all words, so it would have no effect; leave it out")
    training = {"lr": RATES[model.method], **values[EmbeddingTrainingConfig]}
    return EmbeddingSettings(
        model,
        EmbeddingTrainingConfig.of(**training),
        TokenizerConfig.of(**values[TokenizerConfig]),
        DataConfig.of(**values[DataConfig]),
        tokenizer_from,
    )


def changed_training(recorded: EmbeddingTrainingConfig, settings: dict[str, Any]) -> EmbeddingTrainingConfig:
    """Return the training settings of a resumed run.

    Raises:
        ConfigError: a setting cannot change, or is impossible.
    """
    if fixed := sorted(settings.keys() - set(CHANGEABLE_SETTINGS)):
        changeable = ", ".join(f"--{name.replace('_', '-')}" for name in CHANGEABLE_SETTINGS)
        raise ConfigError(
            f"resume: {', '.join(fixed)} cannot be set for a run that exists, only {changeable}; leave that out, or "
            "start a new run without --resume"
        )
    cleared = dict.fromkeys(LENGTH_SETTINGS) if not settings.keys().isdisjoint(LENGTH_SETTINGS) else {}
    return EmbeddingTrainingConfig.of(**{**recorded.model_dump(), **cleared, **settings})
