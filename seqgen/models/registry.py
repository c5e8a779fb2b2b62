"""The table of model families by cell, and the configs that refer to it. Imports no torch.

A cell is what the user names by `--cell`. Here each has its family, a config class and a model class; the recurrent
ones share the model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, Field, SerializeAsAny, ValidationError, model_validator

from seqgen.config import Setting, describe, settings_of
from seqgen.models.config import (
    FamilyConfig,
    GruClassifyConfig,
    GruConfig,
    GruTagConfig,
    GruTranslateConfig,
    LstmClassifyConfig,
    LstmConfig,
    LstmTagConfig,
    LstmTranslateConfig,
    NgramConfig,
    RnnClassifyConfig,
    RnnConfig,
    RnnTagConfig,
    RnnTranslateConfig,
    TransformerClassifyConfig,
    TransformerConfig,
    TransformerTagConfig,
    TransformerTranslateConfig,
    WindowConfig,
)
from seqgen.sources.config import GENERATE, Task


def parse_config(value: Any) -> Any:
    """Return the config of a family from its JSON form; anything else unchanged."""
    if not isinstance(value, dict):
        return value
    cell = value.get("cell")
    if not isinstance(cell, str) or cell not in FAMILIES:
        raise ValueError(f"cell: unknown cell {cell!r}; choose from {', '.join(FAMILIES)}")
    try:
        return FAMILIES[cell].config(**value)
    except ValidationError as error:
        raise ValueError(describe(error)) from error


ModelConfig = Annotated[SerializeAsAny[FamilyConfig], BeforeValidator(parse_config)]
"""The config of any family, as a field."""


class MixtureConfig(FamilyConfig):
    """A weighted mean of the probabilities of several models: the members, by name (`lstm`, `lstm-2`)."""

    cell: Literal["mixture"] = "mixture"
    members: dict[str, ModelConfig] = Field(min_length=2)

    @property
    def name(self) -> str:
        return "+".join(member.cell for member in self.members.values())

    @property
    def shape(self) -> str:
        return ", ".join(member.shape for member in self.members.values())

    @model_validator(mode="after")
    def _members_are_not_mixtures(self) -> MixtureConfig:
        for name, member in self.members.items():
            if FAMILIES[member.cell].is_mixture:
                raise ValueError(f"members: {name} is a mixture itself; name its members instead")
        return self


def name_members(cells: Sequence[str]) -> list[str]:
    """Return the names of a mixture's members: their cells, of equal ones the second as `lstm-2`, and so on."""
    before = [cells[:number].count(cell) for number, cell in enumerate(cells)]
    return [f"{cell}-{count + 1}" if count else cell for cell, count in zip(cells, before, strict=True)]


Presets = dict[str, dict[str, Any]]
"""Settings of model and training by optimizer, the default one first; docs/lab-notes.md has the measurements."""


class Family(NamedTuple):
    """A row of `FAMILIES`: all that the rest of the library knows of a family."""

    config: type[FamilyConfig]
    model: str
    """Module and class of the model, dotted."""
    presets: Presets
    short_presets: Presets | None = None
    """For runs shorter than `presets.SHORT_TIME`, where a measurement showed a gain."""
    long_presets: tuple[tuple[float, Presets], ...] = ()
    """For runs of so many seconds and more, in ascending order."""
    batches: Literal["contiguous", "windows", "pairs"] = "contiguous"
    """Whether it trains on rows that carry their state from batch to batch, on windows of its `block_size`, or on pairs
    of a source and a target."""
    neural: bool = True
    """Whether it has hidden vectors and gradients: a `NeuralModel`."""
    fit: str | None = None
    """Module and function, dotted, that fit a model which is not neural to documents."""
    dynamic: str | None = None
    """Module and class, dotted, of a reader that learns from a text by counting (`evaluation/adaptation`)."""
    compiled: str | None = None
    """Module and function, dotted, that make its stepper compiled by numba."""
    task: Task = GENERATE
    """What it is for; the user names a family of another task by its cell and `--task`."""
    exports: tuple[str, ...] = ()
    """The formats of other programs in which `seqgen export` can write it."""

    @property
    def is_mixture(self) -> bool:
        """Whether it consists of other models, and is neither trained nor fitted itself."""
        return not self.neural and self.fit is None


_RECURRENT = "seqgen.models.recurrent.model.RecurrentModel"
_COMPILED = "seqgen.models.numba.stepper"
_TRANSLATOR = "seqgen.models.translation.recurrent.RecurrentTranslator"
_CLASSIFIER = "seqgen.models.labeling.recurrent.RecurrentClassifier"
_TAGGER = "seqgen.models.labeling.recurrent.build_tagger"


def _of_pairs(
    task: Task,
    config: type[FamilyConfig],
    model: str,
    batch_size: int,
    *,
    rates: dict[str, float],
    **sizes: Any,
) -> Family:
    """Return the row of a family that learns from pairs, by the learning rate of each optimizer, the default first."""
    presets = {name: {**sizes, "lr": rate, "batch_size": batch_size} for name, rate in rates.items()}
    return Family(config, model, presets=presets, batches="pairs", task=task)


_LONG_ADAMW = {
    "hidden_size": 512, "layers": 2, "dropout": 0.35, "lr": 0.003, "bptt": 128, "batch_size": 32, "weight_decay": 0.05,
}  # fmt: skip

FAMILIES: dict[str, Family] = {
    "rnn": Family(
        RnnConfig,
        _RECURRENT,
        presets={
            "muon": {"lr": 0.01, "bptt": 64, "batch_size": 64},
            "adamw": {"lr": 0.005, "bptt": 64, "batch_size": 64},
        },
        compiled=f"{_COMPILED}.compiled_recurrent_stepper",
    ),
    "lstm": Family(
        LstmConfig,
        _RECURRENT,
        presets={
            "muon": {"lr": 0.012, "bptt": 64, "batch_size": 32},
            "adamw": {"lr": 0.012, "bptt": 64, "batch_size": 32},
        },
        short_presets={
            "adamw": {"hidden_size": 192, "dropout": 0.0, "lr": 0.02, "bptt": 32, "batch_size": 32},
            "muon": {"hidden_size": 192, "dropout": 0.0, "lr": 0.03, "bptt": 32, "batch_size": 32},
        },
        long_presets=(
            (300.0, {
                "muon": {
                    "hidden_size": 256, "layers": 2, "dropout": 0.3, "lr": 0.012, "bptt": 64, "batch_size": 32,
                    "weight_decay": 0.05,
                },
                "adamw": _LONG_ADAMW,
            }),
            (900.0, {
                "muon": {
                    "hidden_size": 384, "layers": 2, "dropout": 0.25, "lr": 0.012, "bptt": 128, "batch_size": 64,
                    "weight_decay": 0.05,
                },
                "adamw": _LONG_ADAMW,
            }),
        ),
        compiled=f"{_COMPILED}.compiled_recurrent_stepper",
    ),
    "gru": Family(
        GruConfig,
        _RECURRENT,
        presets={
            "adamw": {"lr": 0.008, "bptt": 64, "batch_size": 64},
            "muon": {"lr": 0.016, "bptt": 64, "batch_size": 64},
        },
        compiled=f"{_COMPILED}.compiled_recurrent_stepper",
    ),
    "transformer": Family(
        TransformerConfig,
        "seqgen.models.transformer.model.TransformerModel",
        presets={"muon": {"lr": 0.006, "batch_size": 16}, "adamw": {"lr": 0.003, "batch_size": 16}},
        batches="windows",
        compiled=f"{_COMPILED}.compiled_transformer_stepper",
    ),
    "ngram": Family(
        NgramConfig,
        "seqgen.models.ngram.model.NgramModel",
        presets={},
        neural=False,
        fit="seqgen.models.ngram.model.fit",
        dynamic="seqgen.evaluation.adaptation.ngram.NgramReader",
        exports=("arpa",),
    ),
    "window": Family(
        WindowConfig,
        "seqgen.models.window.WindowModel",
        presets={
            "adamw": {"lr": 0.008, "bptt": 64, "batch_size": 32},
            "muon": {"lr": 0.01, "bptt": 64, "batch_size": 32},
        },
    ),
    "rnn-translate": _of_pairs("translate", RnnTranslateConfig, _TRANSLATOR, 64, rates={"adamw": 0.003, "muon": 0.01}),
    "lstm-translate": _of_pairs(
        "translate", LstmTranslateConfig, _TRANSLATOR, 64, rates={"adamw": 0.008, "muon": 0.01}, hidden_size=128
    ),
    "gru-translate": _of_pairs(
        "translate", GruTranslateConfig, _TRANSLATOR, 64, rates={"adamw": 0.008, "muon": 0.01}, hidden_size=128
    ),
    "transformer-translate": _of_pairs(
        "translate",
        TransformerTranslateConfig,
        "seqgen.models.translation.transformer.TransformerTranslator",
        64,
        rates={"muon": 0.01, "adamw": 0.003},
    ),
    "rnn-classify": _of_pairs("classify", RnnClassifyConfig, _CLASSIFIER, 32, rates={"adamw": 0.002, "muon": 0.01}),
    "lstm-classify": _of_pairs("classify", LstmClassifyConfig, _CLASSIFIER, 32, rates={"adamw": 0.005, "muon": 0.01}),
    "gru-classify": _of_pairs("classify", GruClassifyConfig, _CLASSIFIER, 32, rates={"adamw": 0.005, "muon": 0.01}),
    "transformer-classify": _of_pairs(
        "classify",
        TransformerClassifyConfig,
        "seqgen.models.labeling.transformer.TransformerClassifier",
        32,
        rates={"adamw": 0.001, "muon": 0.004},
    ),
    "rnn-tag": _of_pairs("tag", RnnTagConfig, _TAGGER, 32, rates={"adamw": 0.002, "muon": 0.01}),
    "lstm-tag": _of_pairs("tag", LstmTagConfig, _TAGGER, 32, rates={"adamw": 0.005, "muon": 0.01}),
    "gru-tag": _of_pairs("tag", GruTagConfig, _TAGGER, 32, rates={"adamw": 0.005, "muon": 0.01}),
    "transformer-tag": _of_pairs(
        "tag",
        TransformerTagConfig,
        "seqgen.models.labeling.transformer.TransformerTagger",
        32,
        rates={"adamw": 0.001, "muon": 0.004},
    ),
    "mixture": Family(
        MixtureConfig,
        "seqgen.models.mixture.MixtureModel",
        presets={},
        neural=False,
        compiled="seqgen.models.mixture.compiled_mixture_stepper",
    ),
}  # fmt: skip
"""By cell. CONTRIBUTING.md lists what a new cell needs."""
CELLS = tuple(cell for cell, family in FAMILIES.items() if not family.is_mixture and family.task == GENERATE)
"""What `--cell` accepts, alone or joined by +."""


def cells_for(task: Task) -> dict[str, str]:
    """Return the families of a task by what `--cell` names them."""
    if task == GENERATE:
        return {cell: cell for cell in CELLS}
    return {cell.removesuffix(f"-{task}"): cell for cell, family in FAMILIES.items() if family.task == task}


def model_settings() -> dict[str, Setting]:
    """Return the settings of all families.

    A description names the cells that have the setting, if not all neural ones do.
    """
    configs = {cell: FAMILIES[cell].config for cell in CELLS}
    neural = sum(FAMILIES[cell].neural for cell in CELLS)
    others = [family for family in FAMILIES.values() if family.task != GENERATE]
    found = settings_of(FamilyConfig, *configs.values(), *(family.config for family in others))
    choices = f"Model architecture: {', '.join(CELLS)}; or several joined by +, which are trained in turn and mixed."
    found["cell"] = found["cell"]._replace(
        types=(Literal[*CELLS], str), description=choices, shown="lstm+ngram; lstm with --task or --valid-split none"
    )
    for name, made in found.items():
        owners = [cell for cell, config in configs.items() if name in config.model_fields]
        tasks = dict.fromkeys(family.task for family in others if name in family.config.model_fields)
        if len(owners) < neural:
            found[name] = of_cells(made, owners or [f"--task {' or '.join(tasks)}"])
    return found


def of_cells(made: Setting, cells: Iterable[str]) -> Setting:
    """Return a setting whose description begins with the cells that have it."""
    return made._replace(description=f"{', '.join(cells)}: {made.description[:1].lower()}{made.description[1:]}")
