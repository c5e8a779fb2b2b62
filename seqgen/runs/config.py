"""The config of a run (config.json), and how a user's settings become one. No torch."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, get_args

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from seqgen.config import RUN, TEXT, Config, FileName, Setting, setting, settings_of
from seqgen.data.config import DataConfig, SplitRule
from seqgen.errors import ConfigError
from seqgen.models.config import LabelConfig
from seqgen.models.registry import CELLS, FAMILIES, MixtureConfig, ModelConfig, cells_for, model_settings, of_cells
from seqgen.sources.config import BYTES, EXAMPLES, GENERATE
from seqgen.tokenizers.auto import AUTO
from seqgen.tokenizers.config import Normalization, TokenizerConfig, TokenizerKind
from seqgen.training.config import FitConfig, TrainingConfig
from seqgen.training.presets import DEFAULT_TIME, preset_for

LENGTH_SETTINGS = ("max_steps", "max_epochs", "max_time")
"""The length of a run; if a resumed run sets one of them, the others are cleared."""
CHANGEABLE_SETTINGS = (*LENGTH_SETTINGS, "threads", "device", "precision", "save_every", "on_save_error")
"""Settings that may change when a run is resumed."""
IDENTITY_PARTS: dict[str, Any] = {
    "model": True,
    "tokenizer": {"kind", "vocab_size", "fingerprint", "normalization"},
    "data": {"valid_split", "valid_share", "documents", "task"},
    "text": True,
    "training": True,
}
"""The parts of a config that determine the weights; of `data` the split, as `text` has the hashes of both texts."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def _parse_bytes(value: Any) -> Any:
    """Return bytes from `500M`, `2G` or `1.5g`; the field refuses anything else."""
    if isinstance(value, str):
        parts = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)", value.upper())
        if parts is None:
            raise ValueError(f"{value!r} is not a size; write 500M or 2G")
        return round(float(parts[1]) * _UNITS[parts[2]])
    return value


class RunOptions(Config):
    """The settings of `seqgen.train` that config.json does not have: which run, and where it begins."""

    out: FileName | None = setting(
        None, "Directory of the run.", RUN, shown="runs/<text>-<cell>", metavar="DIR", accepts=str | Path | None
    )
    resume: bool = setting(False, "Continue the run in --out, or the newest run on this text.", RUN)
    init_from: FileName | None = setting(
        None, "Start from the weights of another run.", RUN, metavar="DIR", accepts=str | Path | None
    )
    init_embeddings: FileName | None = setting(
        None,
        "Start the embedding from the vectors of another run, or of a file in word2vec's text format.",
        RUN,
        metavar="DIR|FILE",
        accepts=str | Path | None,
    )
    plan_from: FileName | None = setting(
        None,
        "Repeat the steps and threads of another run, to get exactly its weights.",
        RUN,
        metavar="DIR",
        accepts=str | Path | None,
    )
    tokenizer: FileName = setting(
        AUTO,
        "char, byte, word, unigram, bpe, or a directory made by `seqgen tokenizer build`; auto is char or bpe, by the "
        "text, the cell and the training time.",
        TEXT,
        shown="auto; byte with --encoding bytes",
        metavar="auto|KIND|DIR",
        accepts=Literal["auto"] | TokenizerKind | str | Path,
    )
    memory: Annotated[Annotated[int, Field(ge=1)] | None, BeforeValidator(_parse_bytes)] = setting(
        None,
        "ngram: the most memory that n-grams may take, such as 500M or 2G.",
        RUN,
        shown="all of the machine",
        metavar="SIZE",
        accepts=int | str | None,
    )


def train_settings() -> dict[str, Setting]:
    """Return every setting of `seqgen.train` but its text, by name."""
    settings = {
        **model_settings(),
        **settings_of(TokenizerConfig, DataConfig, TrainingConfig),
        **settings_of(RunOptions),
    }
    without_windows = [cell for cell in CELLS if FAMILIES[cell].neural and FAMILIES[cell].batches != "windows"]
    settings["bptt"] = of_cells(settings["bptt"], without_windows)
    return settings


class TokenizerRecord(Config):
    """The tokenizer of a run, and the hash that its files must have."""

    kind: TokenizerKind
    vocab_size: int
    fingerprint: str
    normalization: Normalization = "none"
    asked: TokenizerConfig | None = None
    """The settings that it was built with; None for an existing tokenizer."""
    auto: bool = False
    """Whether `--tokenizer auto` chose `asked`."""


class TextRecord(Config):
    """The text of a run: its hash, its sizes and its split. Tokens are ids and ends."""

    sha256: Sha256
    characters: int
    train_tokens: int
    valid_tokens: int
    valid_sha256: Sha256 | None = None
    line_end: str = Field(default="", max_length=3)
    """How lines of a single text end; read before a sample without a prompt, so that it begins a line."""
    ends: bool
    """Whether documents end by themselves: the boundary is a target after each, and can be drawn."""
    split: SplitRule
    """What is withheld for validation."""
    train_pairs: int | None = None
    """Pairs of the training part, where the task learns from pairs; tokens are then those of both sides, and where
    targets are labels those of the sources alone."""
    valid_pairs: int | None = None
    longest_source: int | None = None
    """Tokens of the longest source of the training part."""
    longest_target: int | None = None
    """Tokens of the longest target of the training part, without its end."""


def _tag_of_training(value: Any) -> str:
    """Return which of the classes below a value is of, or JSON describes."""
    if isinstance(value, dict):
        return "<members>" if "members" in value else "<gradients>" if "optimizer" in value else "<fit>"
    tags: dict[type, str] = {FitConfig: "<fit>", MembersConfig: "<members>"}
    return tags.get(type(value), "<gradients>")


MemberTraining: TypeAlias = Annotated[
    Annotated[TrainingConfig, Tag("<gradients>")] | Annotated[FitConfig, Tag("<fit>")], Discriminator(_tag_of_training)
]


class MembersConfig(FitConfig):
    """How the members of a mixture are trained, or were: by name. The other settings are those of them together."""

    members: dict[str, MemberTraining]


Training: TypeAlias = Annotated[
    Annotated[TrainingConfig, Tag("<gradients>")]
    | Annotated[FitConfig, Tag("<fit>")]
    | Annotated[MembersConfig, Tag("<members>")],
    Discriminator(_tag_of_training),
]


def training_class(cell: str) -> type[FitConfig]:
    """Return the class of the training settings of a family."""
    family = FAMILIES[cell]
    return TrainingConfig if family.neural else MembersConfig if family.is_mixture else FitConfig


class RunConfig(Config):
    """Everything that a run is made from: with it and the text, the run can be repeated."""

    format_version: Literal[1] = 1
    seqgen: str
    created: str
    model: ModelConfig
    tokenizer: TokenizerRecord
    data: DataConfig
    text: TextRecord
    training: Training
    environment: dict[str, str | int]
    init_from: FileName | None = None
    init_embeddings: FileName | None = None

    @model_validator(mode="after")
    def _training_is_of_the_family(self) -> RunConfig:
        if type(self.training) is not training_class(self.model.cell):
            raise ValueError(f"training: these are not the settings of {self.model.cell}")
        parts = [part for part in (self.model, self.training) if isinstance(part, MixtureConfig | MembersConfig)]
        if len({tuple(sorted(part.members)) for part in parts}) > 1:
            raise ValueError("training: these are not the settings of the members of the mixture")
        return self

    @model_validator(mode="after")
    def _labels_are_known(self) -> RunConfig:
        if self.labels == ():
            raise ValueError(f"model: {self.model.cell} has no labels to choose from")
        return self

    @model_validator(mode="after")
    def _model_is_of_the_task(self) -> RunConfig:
        if FAMILIES[self.model.cell].task != self.data.task:
            raise ValueError(f"model: {self.model.cell} is not a model of --task {self.data.task}")
        return self

    @property
    def labels(self) -> tuple[str, ...] | None:
        """The labels, or the tags, that the model chooses from; None where it writes text."""
        return self.model.labels if isinstance(self.model, LabelConfig) else None

    @property
    def members(self) -> dict[str, RunConfig]:
        """The configs that the members of a mixture have as runs, by name; of any other model none."""
        model, training = self.model, self.training
        if not isinstance(model, MixtureConfig) or not isinstance(training, MembersConfig):
            return {}
        return {
            name: self.model_copy(update={"model": member, "training": training.members[name]})
            for name, member in model.members.items()
        }

    @property
    def identity(self) -> str:
        """A hash of the settings that determine the weights: model, tokenizer, text, split and training.

        The checksum of weights includes it, so that weights of another run, or weights under a changed config.json, are
        refused. The same run made twice has the same identity.
        """
        made_of = self.model_dump(include=IDENTITY_PARTS, exclude={"training": set(CHANGEABLE_SETTINGS)})
        return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()

    def to_json(self) -> bytes:
        """Return the content of config.json."""
        return (self.model_dump_json(indent=2) + "\n").encode()


def differing_settings(
    then: RunConfig, now: RunConfig, *, parts: dict[str, Any] | None = None, ignored: Collection[str] = ()
) -> dict[str, tuple[Any, Any]]:
    """Return the settings (`training.lr`) that differ between two configs, with both values.

    Args:
        then: one config.
        now: another config.
        parts: the parts to compare, as pydantic's `include`; None is all.
        ignored: settings to leave out.
    """
    before, after = (_flatten(config.model_dump(mode="json", include=parts)) for config in (then, now))
    return {
        name: (before.get(name), after.get(name))
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name) and name not in ignored
    }


def _flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


class RunSettings(Config):
    """A user's settings, sorted into configs and completed by defaults."""

    model: ModelConfig
    tokenizer: TokenizerConfig
    data: DataConfig
    training: MemberTraining
    tokenizer_from: str | None = None
    """The directory of an existing tokenizer; `tokenizer` is then unused."""
    auto: bool = False
    """Whether kind and size of `tokenizer` are still to be chosen by the text."""


SINGLE_CELL = "lstm"
"""What a run is that has to be one model."""
DEFAULT_CELL = "lstm+ngram"
"""What a new run is where the user names no cell: better than an lstm alone on every text of docs/lab-notes.md."""


def default_cell(settings: dict[str, Any]) -> str:
    """Return the cell of a new run for a user who names none: a single one where nothing is withheld to weigh two."""
    nothing_withheld = settings.get("valid_split") == "none" and settings.get("valid") is None
    return SINGLE_CELL if nothing_withheld or settings.get("task", GENERATE) != GENERATE else DEFAULT_CELL


def cells_of(settings: dict[str, Any]) -> list[str]:
    """Return the families that a user's settings name: one, or those of the members of a mixture.

    Raises:
        ConfigError: one of them is unknown.
    """
    task = DataConfig.of(task=settings.get("task", GENERATE)).task
    known, named = cells_for(task), settings.get("cell", SINGLE_CELL)
    cells = [cell.strip() for cell in named.split("+")] if isinstance(named, str) else [named]
    choices = ", ".join(known)
    for cell in cells:
        if cell in CELLS and cell not in known:
            raise ConfigError(f"cell: {cell} is for texts, not for --task {task}; choose from {choices}")
        if cell not in known:
            others = ", or join several by +: lstm+gru" if task == GENERATE else ""
            raise ConfigError(f"cell: unknown cell {cell!r}; choose from {choices}{others}")
    if len(cells) > 1 and task != GENERATE:
        raise ConfigError(f"cell: --task {task} trains one model; name one of {choices}")
    return [known[cell] for cell in cells]


def accepted_settings(cell: str) -> set[str]:
    """Return the names of the settings that have an effect on a run of this family."""
    family = FAMILIES[cell]
    configs = (family.config, TokenizerConfig, DataConfig, training_class(cell))
    names = {"tokenizer", *(name for config in configs for name in config.model_fields)}
    return names if family.batches == "contiguous" else names - {"bptt"}


def training_time(settings: dict[str, Any]) -> float | None:
    """Return the training time that the user set, in seconds; None where only steps or epochs set the length.

    Raises:
        ConfigError: it is not a time.
    """
    if settings.keys().isdisjoint(LENGTH_SETTINGS):
        return DEFAULT_TIME
    return TrainingConfig.of(max_time=settings.get("max_time")).max_time


def resolve_settings(settings: dict[str, Any], *, from_weights: bool = False) -> RunSettings:
    """Sort flat settings, named as the flags are, into configs, with defaults from the cell's preset.

    Args:
        settings: what the user set.
        from_weights: whether model and vocabulary come from another run.

    Raises:
        ConfigError: a setting is unknown, belongs to another cell, or has an impossible value.
    """
    settings = dict(settings)
    (cell,) = cells_of(settings)
    settings.pop("cell", None)
    model_class, trained_by = FAMILIES[cell].config, training_class(cell)
    raw = settings.get("encoding") == BYTES
    named = settings.pop("tokenizer", AUTO)
    if raw and named == AUTO:
        named = "byte"
    tokenizer, tokenizer_from = tokenizer_settings(named, settings)
    if raw and tokenizer_from is None:
        tokenizer["raw"] = True
    preset = preset_for(cell, settings, sized=from_weights)
    model_values = {name: preset.pop(name) for name in model_class.model_fields.keys() & preset.keys()}
    if FAMILIES[cell].neural and settings.keys().isdisjoint(LENGTH_SETTINGS):
        preset["max_time"] = DEFAULT_TIME
    configs: list[tuple[type[Config], dict[str, Any]]] = [
        (model_class, model_values), (TokenizerConfig, tokenizer), (DataConfig, {}), (trained_by, preset)
    ]  # fmt: skip
    for name, value in settings.items():
        values = next((values for owner, values in configs if name in owner.model_fields), None)
        if values is None:
            raise ConfigError(describe_unknown_setting(name, cell))
        values[name] = value
    model, tokenizer_config, data, training_config = (owner.of(**values) for owner, values in configs)
    resolved = RunSettings.of(
        model=model,
        tokenizer=tokenizer_config,
        data=data,
        training=training_config,
        tokenizer_from=tokenizer_from,
        auto=named == AUTO and not from_weights,
    )
    _refuse_unused(settings, resolved, from_weights=from_weights)
    return resolved


def _refuse_unused(settings: dict[str, Any], resolved: RunSettings, *, from_weights: bool) -> None:
    """Refuse a setting that would have no effect with the others."""
    cell, tokenizer, data = resolved.model.cell, resolved.tokenizer, resolved.data
    unused = {
        "bptt": {
            "windows": f"{cell} trains on windows of --block-size tokens",
            "pairs": f"--task {data.task} trains on whole {EXAMPLES[data.task]}s",
            "contiguous": "",
        }[FAMILIES[cell].batches],
        "character_coverage": tokenizer.kind not in {"unigram", "bpe"} and "it applies to unigram and bpe only",
        "allow_unknown": data.allow_unknown
        and not from_weights
        and resolved.tokenizer_from is None
        and "the vocabulary is built from the text itself, without --init-from or --tokenizer DIR",
        "valid_share": data.valid_split == "none" and "there is no validation part",
        "patience": data.valid_split == "none" and data.valid is None and "there is no validation part",
    }
    for name, reason in unused.items():
        if name in settings and reason:
            raise ConfigError(f"{name}: {reason}, so it would have no effect; leave it out")


def tokenizer_settings(name: Any, settings: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    """Return the tokenizer settings for a kind, or the directory of an existing tokenizer.

    Raises:
        ConfigError: it is neither, or a setting of `settings` does not go with it.
    """
    if not isinstance(name, str):
        raise ConfigError(f"tokenizer: should be a kind or a directory, not {name!r}")
    if name == AUTO:
        if named := sorted({"vocab_size", "character_coverage"} & settings.keys()):
            raise ConfigError(
                f"{named[0]}: --tokenizer auto chooses it with the kind; name the kind too, as in --tokenizer unigram "
                "or --tokenizer bpe"
            )
        return {}, None
    if name in get_args(TokenizerKind):
        return {"kind": name}, None
    if not name or not Path(name).is_dir():
        kinds = ", ".join([AUTO, *get_args(TokenizerKind)])
        raise ConfigError(f"tokenizer: {name!r} is neither a kind ({kinds}) nor the directory of a tokenizer")
    named = sorted(TokenizerConfig.model_fields.keys() & settings.keys())
    if named:
        raise ConfigError(f"tokenizer: {name} exists already, so {', '.join(named)} cannot be set; leave it out")
    return {}, name


def _as_typed(family: str) -> str:
    """Return what the user writes for a family: `lstm`, or `lstm --task translate`."""
    task = FAMILIES[family].task if family in FAMILIES else GENERATE
    return family if task == GENERATE else f"{family.removesuffix(f'-{task}')} --task {task}"


def describe_unknown_setting(name: str, cell: str) -> str:
    """Return a message that names an unknown setting, and the one that may be meant."""
    owners = [other for other, family in FAMILIES.items() if name in family.config.model_fields]
    if owners:
        named = ", ".join(map(_as_typed, owners))
        return f"{name}: {_as_typed(cell)} does not have this setting; it belongs to {named}"
    if name in TrainingConfig.model_fields:
        return f"{name}: it has no effect on {cell}; leave it out"
    known = [*TokenizerConfig.model_fields, *DataConfig.model_fields, *TrainingConfig.model_fields]
    known += [field for one in cell.split("+") for field in FAMILIES[one].config.model_fields]
    close = difflib.get_close_matches(name, known, n=1)
    return f"{name}: unknown setting" + (f"; did you mean {close[0]}?" if close else "")
