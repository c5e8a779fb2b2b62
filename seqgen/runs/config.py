"""What a run is made from: config.json, and what a user's settings compose. No torch."""

from __future__ import annotations

import difflib
import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, PrivateAttr

from seqgen.config import Config, FileName
from seqgen.data.config import DataConfig
from seqgen.errors import ConfigError
from seqgen.models.registry import FAMILIES, ModelConfig
from seqgen.sources.config import BYTES
from seqgen.tokenizers.config import Normalization, TokenizerConfig, TokenizerKind
from seqgen.training.config import TrainingConfig
from seqgen.training.presets import DEFAULT_TIME, preset_for

LENGTHS = ("max_steps", "max_epochs", "max_time")
"""How long a run is; those that are named for a run that continues replace all that it had."""
CHANGEABLE = (*LENGTHS, "threads", "device", "precision", "save_every", "on_save_error")
"""What may change in a run that continues."""
OF_THE_WEIGHTS = ("model", "tokenizer", "text", "training")
"""The parts of a config that make the weights what they are."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class TokenizerRecord(Config):
    """The tokenizer: its kind, its size, its Unicode form, and the hash that its files must have."""

    kind: TokenizerKind
    vocab_size: int
    fingerprint: str
    normalization: Normalization = "none"
    asked: TokenizerConfig | None = None
    """What it was built by; None for one that was built before the run."""


class TextRecord(Config):
    """The text that was read: its hash, and how much of it is learnt from and withheld."""

    sha256: Sha256
    characters: int
    train_tokens: int
    valid_tokens: int
    valid_sha256: Sha256 | None = None
    line_end: str = Field(default="", max_length=3)
    """How lines of a single text end: what is read before a sample without a prompt, so that it begins a line."""


class RunConfig(Config):
    """Everything that a run was made from. With it and the text, the run can be made again."""

    format_version: Literal[1] = 1
    seqgen: str
    created: str
    model: ModelConfig
    tokenizer: TokenizerRecord
    data: DataConfig
    text: TextRecord
    training: TrainingConfig
    environment: dict[str, str | int]
    init_from: FileName | None = None

    _unsaid: dict[str, set[str]] = PrivateAttr(default_factory=dict)
    """By part of it, the settings that the file it was read from does not have: those of a later version than its."""

    @classmethod
    def from_json(cls, text: str | bytes, where: str) -> Self:
        config = super().from_json(text, where)
        for name in OF_THE_WEIGHTS:
            part: Config = getattr(config, name)
            unsaid = type(part).model_fields.keys() - part.model_fields_set - set(CHANGEABLE)
            if unsaid:
                config._unsaid[name] = unsaid
        return config

    @property
    def identity(self) -> str:
        """A hash of what makes its weights this run's: model, tokenizer, text, and how it is trained.

        A checksum over weights begins with it, so that neither the weights of another run nor a model that was changed
        since is taken for this one. Made twice, a run has one identity; and it keeps it in a later version, which may
        have more settings and other defaults, as what counts is what its config.json says.
        """
        left_out = {**self._unsaid, "training": {*CHANGEABLE, *self._unsaid.get("training", ())}}
        made_of = self.model_dump(include=set(OF_THE_WEIGHTS), exclude=left_out)
        return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()

    def to_json(self) -> bytes:
        """The content of config.json: every setting, less those that the file it was read from does not have."""
        return (self.model_dump_json(indent=2, exclude=self._unsaid) + "\n").encode()


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings as one level: `training.lr`."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


class Request(Config):
    """What a user asked for, sorted into the configs that it belongs to."""

    model: ModelConfig
    tokenizer: TokenizerConfig
    data: DataConfig
    training: TrainingConfig
    tokenizer_from: str | None = None
    """The directory of a tokenizer that is there already; `tokenizer` then counts for nothing."""


def compose(settings: dict[str, Any], *, sized: bool = False) -> Request:
    """Sort flat settings, named as the flags are, into configs, over the cell's preset.

    Args:
        settings: what the user said.
        sized: whether the model, and so its size and vocabulary, comes from another run.

    Raises:
        ConfigError: a setting is unknown, belongs to another cell, or has an impossible value.
    """
    settings = dict(settings)
    cell = settings.pop("cell", "lstm")
    if not isinstance(cell, str) or cell not in FAMILIES:
        raise ConfigError(f"cell: there is no {cell!r}; choose from {', '.join(FAMILIES)}")
    model_class = FAMILIES[cell].config
    raw = settings.get("encoding") == BYTES
    tokenizer, tokenizer_from = _choose_tokenizer(settings.pop("tokenizer", "byte" if raw else "char"), settings)
    if raw and tokenizer_from is None:
        tokenizer["raw"] = True
    preset = preset_for(cell, settings, sized=sized)
    of_the_model = {name: preset.pop(name) for name in model_class.model_fields.keys() & preset.keys()}
    if {"max_steps", "max_epochs", "max_time"}.isdisjoint(settings):
        preset["max_time"] = DEFAULT_TIME
    sorted_in: list[tuple[type[Config], dict[str, Any]]] = [
        (model_class, of_the_model), (TokenizerConfig, tokenizer), (DataConfig, {}), (TrainingConfig, preset)
    ]  # fmt: skip
    for name, value in settings.items():
        values = next((values for owner, values in sorted_in if name in owner.model_fields), None)
        if values is None:
            raise ConfigError(unknown_setting(name, cell))
        values[name] = value
    model, tokenizer_config, data, training_config = (owner.of(**values) for owner, values in sorted_in)
    request = Request.of(
        model=model, tokenizer=tokenizer_config, data=data, training=training_config, tokenizer_from=tokenizer_from
    )
    _refuse_idle(settings, request, with_weights=sized)
    return request


def _refuse_idle(settings: dict[str, Any], request: Request, *, with_weights: bool) -> None:
    """Refuse a setting that would change nothing beside the others."""
    cell, tokenizer, data = request.model.cell, request.tokenizer, request.data
    idle = {
        "bptt": cell == "transformer" and "a transformer learns in windows of --block-size tokens",
        "character_coverage": tokenizer.kind not in {"unigram", "bpe"} and "it counts for unigram and bpe alone",
        "allow_unknown": data.allow_unknown
        and not with_weights
        and request.tokenizer_from is None
        and "the vocabulary is built from the text itself, without --init-from or --tokenizer DIR",
        "valid_share": data.valid_split == "none" and "nothing of the text is withheld",
        "patience": data.valid_split == "none" and data.valid is None and "nothing is withheld to measure gain on",
    }
    for name, reason in idle.items():
        if name in settings and reason:
            raise ConfigError(f"{name}: {reason}, so it would change nothing; leave it out")


def _choose_tokenizer(name: Any, settings: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    """The settings that a kind's name stands for, or the directory that `name` is."""
    if not isinstance(name, str):
        raise ConfigError(f"tokenizer: should be a kind or a directory, not {name!r}")
    if name in get_args(TokenizerKind):
        return {"kind": name}, None
    if not name or not Path(name).is_dir():
        kinds = ", ".join(get_args(TokenizerKind))
        raise ConfigError(f"tokenizer: {name!r} is neither a kind ({kinds}) nor a directory with a tokenizer in it")
    given = sorted(TokenizerConfig.model_fields.keys() & settings.keys())
    if given:
        raise ConfigError(f"tokenizer: {name} is built already, so {', '.join(given)} cannot be chosen; leave it out")
    return {}, name


def unknown_setting(name: str, cell: str) -> str:
    """Say that there is no such setting, and which may be meant."""
    owners = [other for other, family in FAMILIES.items() if name in family.config.model_fields]
    if owners:
        return f"{name}: {cell} has no such setting; it belongs to {', '.join(owners)}"
    known = [*TokenizerConfig.model_fields, *DataConfig.model_fields, *TrainingConfig.model_fields]
    known += FAMILIES[cell].config.model_fields
    close = difflib.get_close_matches(name, known, n=1)
    return f"{name}: there is no such setting" + (f"; did you mean {close[0]}?" if close else "")
