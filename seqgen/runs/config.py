"""config.json, and how the settings of a user become configs. No torch."""

from __future__ import annotations

import difflib
import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field

from seqgen.config import RUN, TEXT, Config, FileName, Setting, setting, settings_of
from seqgen.data.config import DataConfig
from seqgen.errors import ConfigError
from seqgen.models.registry import FAMILIES, FamilyConfig, ModelConfig, model_settings
from seqgen.sources.config import BYTES
from seqgen.tokenizers.config import Normalization, TokenizerConfig, TokenizerKind
from seqgen.training.config import TrainingConfig
from seqgen.training.presets import DEFAULT_TIME, preset_for

LENGTHS = ("max_steps", "max_epochs", "max_time")
"""The settings of the length of a run; naming one for a run that continues replaces all three."""
CHANGEABLE = (*LENGTHS, "threads", "device", "precision", "save_every", "on_save_error")
"""The settings that may change when a run continues."""
OF_THE_WEIGHTS = ("model", "tokenizer", "text", "training")
"""The parts of a config that determine the weights."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class RunOptions(Config):
    """The settings of `seqgen.train` that config.json does not have: which run, and where it begins."""

    out: FileName | None = setting(
        None, "Directory of the run.", RUN, shown="runs/<text>-<cell>", metavar="DIR", accepts=str | Path | None
    )
    resume: bool = setting(False, "Continue the run in --out, or the newest run.", RUN)
    init_from: FileName | None = setting(
        None, "Start from the weights of another run.", RUN, metavar="DIR", accepts=str | Path | None
    )
    plan_from: FileName | None = setting(
        None,
        "Repeat the steps and threads of another run, to get exactly its weights.",
        RUN,
        metavar="DIR",
        accepts=str | Path | None,
    )
    tokenizer: FileName = setting(
        "char",
        "char, byte, word, unigram, bpe, or a directory made by `seqgen tokenizer build`.",
        TEXT,
        shown="char; byte with --encoding bytes",
        metavar="KIND|DIR",
        accepts=TokenizerKind | str | Path,
    )


def train_settings() -> dict[str, Setting]:
    """Return every setting of `seqgen.train` but its text, by name."""
    return {
        **model_settings(),
        **settings_of(TokenizerConfig, DataConfig, TrainingConfig),
        **settings_of(RunOptions),
    }


class TokenizerRecord(Config):
    """The tokenizer: its kind, its size, its Unicode form, and the hash that its files must have."""

    kind: TokenizerKind
    vocab_size: int
    fingerprint: str
    normalization: Normalization = "none"
    asked: TokenizerConfig | None = None
    """The settings that it was built with; None for a tokenizer that was built before the run."""


class TextRecord(Config):
    """The text that was read: its hash, and the sizes of its training and validation part."""

    sha256: Sha256
    characters: int
    train_tokens: int
    valid_tokens: int
    valid_sha256: Sha256 | None = None
    line_end: str = Field(default="", max_length=3)
    """The line end of a single text: a sample without a prompt begins after it, at the start of a line."""


class RunConfig(Config):
    """Everything that a run was made from. With it and the text, the run can be repeated."""

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

    @property
    def identity(self) -> str:
        """The hash of the settings that determine the weights: model, tokenizer, text, training.

        A checksum over weights begins with it, so that weights of another run, or of a model that was changed since,
        are refused.
        """
        made_of = self.model_dump(include=set(OF_THE_WEIGHTS), exclude={"training": set(CHANGEABLE)})
        return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()

    def to_json(self) -> bytes:
        """Return the content of config.json."""
        return (self.model_dump_json(indent=2) + "\n").encode()


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings as one level: `training.lr`."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


class Request(Config):
    """The settings of a user, sorted into configs."""

    model: ModelConfig
    tokenizer: TokenizerConfig
    data: DataConfig
    training: TrainingConfig
    tokenizer_from: str | None = None
    """The directory of an existing tokenizer; `tokenizer` is then unused."""


def compose(settings: dict[str, Any], *, sized: bool = False) -> Request:
    """Sort flat settings into configs, over the preset of the cell.

    Args:
        settings: the settings of the user.
        sized: whether the model, with its size and vocabulary, comes from another run.

    Raises:
        ConfigError: a setting is unknown, belongs to another cell, or has an impossible value.
    """
    settings = dict(settings)
    cell = settings.pop("cell", FamilyConfig().cell)
    if not isinstance(cell, str) or cell not in FAMILIES:
        raise ConfigError(f"cell: {cell!r} is not a cell; choose from {', '.join(FAMILIES)}")
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
    """Refuse a setting that would have no effect with the others."""
    cell, tokenizer, data = request.model.cell, request.tokenizer, request.data
    idle = {
        "bptt": cell == "transformer" and "a transformer is trained on windows of --block-size tokens",
        "character_coverage": tokenizer.kind not in {"unigram", "bpe"} and "it applies to unigram and bpe only",
        "allow_unknown": data.allow_unknown
        and not with_weights
        and request.tokenizer_from is None
        and "the vocabulary is built from the text itself, without --init-from or --tokenizer DIR",
        "valid_share": data.valid_split == "none" and "nothing of the text is withheld",
        "patience": data.valid_split == "none"
        and data.valid is None
        and "there is no validation part to measure improvement on",
    }
    for name, reason in idle.items():
        if name in settings and reason:
            raise ConfigError(f"{name}: {reason}, so it would have no effect; leave it out")


def _choose_tokenizer(name: Any, settings: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    """Return the settings of a kind of tokenizer, or the directory that `name` is."""
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
    """Say that a setting is unknown, and which may be meant."""
    owners = [other for other, family in FAMILIES.items() if name in family.config.model_fields]
    if owners:
        return f"{name}: {cell} has no such setting; it belongs to {', '.join(owners)}"
    known = [*TokenizerConfig.model_fields, *DataConfig.model_fields, *TrainingConfig.model_fields]
    known += FAMILIES[cell].config.model_fields
    close = difflib.get_close_matches(name, known, n=1)
    return f"{name}: unknown setting" + (f"; did you mean {close[0]}?" if close else "")
