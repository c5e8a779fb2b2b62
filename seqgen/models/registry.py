"""The model families: their config classes, and the table of them by cell. Imports no torch.

A cell is what the user names by `--cell`. Here each has its family, a config class and a model class; the recurrent
ones share the model.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import BeforeValidator, Field, SerializeAsAny, ValidationError, model_validator

from seqgen.config import BY_PRESET, MODEL, Config, Setting, describe, setting, settings_of
from seqgen.sources.config import GENERATE, Task
from seqgen.utils.text import plural

Size = Annotated[int, Field(ge=1, le=65_536)]
Depth = Annotated[int, Field(ge=1, le=256)]
Share = Annotated[float, Field(ge=0.0, lt=1.0)]


class FamilyConfig(Config, ABC):
    """The settings that every family has."""

    cell: str = setting("lstm", "Model architecture.", MODEL)

    @property
    def name(self) -> str:
        """What `--cell` names the model by: `lstm`, `lstm+ngram`."""
        return self.cell

    @property
    @abstractmethod
    def shape(self) -> str:
        """The size of the model in a few characters, for people: `2x384`, `order 7`."""


class NeuralConfig(FamilyConfig):
    """The settings of families that are trained by gradients."""

    hidden_size: Size = setting(256, "Hidden size.", MODEL, shown=BY_PRESET)
    layers: Depth = setting(1, "Number of layers.", MODEL, shown=BY_PRESET)
    dropout: Share = setting(0.0, "Dropout rate.", MODEL, shown=BY_PRESET)
    tie_weights: bool = setting(False, "Share input and output embeddings.", MODEL)

    @property
    def shape(self) -> str:
        return f"{self.layers}x{self.hidden_size}"


class BlockConfig(NeuralConfig):
    """The settings of families that train on windows (`batches` in their row), of `block_size` tokens."""

    block_size: Annotated[int, Field(ge=2, le=1_048_576)] = setting(
        64, "Number of tokens that attention reaches back.", MODEL
    )


class EmbeddingConfig(NeuralConfig):
    """The settings of families whose embedding may have another size than the hidden state; tied, the two are equal."""

    embedding_size: Size | None = setting(None, "Embedding size.", MODEL, shown="hidden size, up to 128")

    @property
    def input_size(self) -> int:
        """The width of the embedding; 128 is enough: wider ones gained nothing in experiments."""
        if self.embedding_size is not None:
            return self.embedding_size
        return self.hidden_size if self.tie_weights else min(self.hidden_size, 128)

    @model_validator(mode="after")
    def _tied_sizes_agree(self) -> EmbeddingConfig:
        if self.tie_weights and self.embedding_size not in {None, self.hidden_size}:
            raise ValueError(
                f"tie_weights: the embedding ({self.embedding_size}) and the hidden state ({self.hidden_size}) must "
                "be equal; leave embedding_size out"
            )
        return self


class RecurrentConfig(EmbeddingConfig):
    """The settings that the recurrent families share."""

    @property
    def form(self) -> str:
        """The name of the cell's equations: its row in `recurrent.CELLS`."""
        return self.cell


class RnnConfig(RecurrentConfig):
    """A plain recurrent network, h = tanh(W x + U h + b) (Elman 1990)."""

    cell: Literal["rnn"] = "rnn"
    hidden_size: Size = 384


class LstmConfig(RecurrentConfig):
    """Long short-term memory (Hochreiter and Schmidhuber 1997; forget gate: Gers et al. 2000)."""

    cell: Literal["lstm"] = "lstm"
    dropout: Share = 0.1


class GruConfig(RecurrentConfig):
    """Gated recurrent units (Cho et al. 2014). `gru_reset` chooses between the two published forms: `cells.py`."""

    cell: Literal["gru"] = "gru"
    dropout: Share = 0.1
    gru_reset: Literal["after", "before"] = setting(
        "after", "Apply the reset gate after or before the matrix product.", MODEL
    )

    @property
    def form(self) -> str:
        """The name of the cell's equations: its row in `recurrent.CELLS`."""
        return "gru-before" if self.gru_reset == "before" else "gru"


class AttentionConfig(NeuralConfig):
    """The settings of transformers.

    `feed_forward_size` None is the customary 8/3 of `hidden_size`, rounded up to a multiple of 32.
    """

    hidden_size: Size = 128
    layers: Depth = 4
    heads: Depth = setting(4, "Number of attention heads.", MODEL)
    positions: Literal["rope", "sinusoidal"] = setting("rope", "Position encoding.", MODEL)
    feed_forward_size: Size | None = setting(
        None, "Width of the feed-forward layers.", MODEL, shown="8/3 of the hidden size"
    )
    position_base: float = Field(10_000.0, gt=1.0)
    """The slowest position frequency is about 1 / this."""
    norm_epsilon: float = Field(1e-5, gt=0.0)
    """What RMSNorm adds to the mean square."""

    @property
    def inner_size(self) -> int:
        """The width of the feed-forward layers."""
        return self.feed_forward_size or 32 * -(-8 * self.hidden_size // (3 * 32))

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.hidden_size % (2 * self.heads):
            raise ValueError(
                f"heads: {plural(self.heads, 'head')} must divide hidden_size {self.hidden_size} into even parts; "
                f"try --hidden-size {2 * self.heads * max(1, round(self.hidden_size / (2 * self.heads)))}"
            )
        return self


class TransformerConfig(AttentionConfig, BlockConfig):
    """A decoder-only transformer of the Llama shape. Attention reaches `block_size` tokens back, itself included."""

    cell: Literal["transformer"] = "transformer"


class WindowConfig(EmbeddingConfig):
    """A feed-forward network over the last `context_size` tokens (Bengio et al. 2003)."""

    cell: Literal["window"] = "window"
    hidden_size: Size = 384
    context_size: Annotated[int, Field(ge=2, le=65_536)] = setting(
        8, "Number of tokens that the model sees, the newest included.", MODEL
    )


class TwoWayConfig(RecurrentConfig):
    """The settings of recurrent encoders, which may read a source in both directions."""

    two_way: bool = setting(True, "Read the source in both directions, with half of the hidden size each.", MODEL)

    @property
    def form(self) -> str:
        return self.cell.partition("-")[0]

    @model_validator(mode="after")
    def _hidden_size_can_be_halved(self) -> Self:
        if self.two_way and self.hidden_size % 2:
            raise ValueError(f"hidden_size: {self.hidden_size} cannot be halved between two directions; make it even")
        return self


class NgramConfig(FamilyConfig):
    """Interpolated modified Kneser-Ney over n-grams of tokens (Chen and Goodman 1998)."""

    cell: Literal["ngram"] = "ngram"
    order: Annotated[int, Field(ge=1, le=64)] | None = setting(
        None, "Longest n-gram.", MODEL, shown="by tokenizer and size of the text"
    )
    """None only before the text is known; config.json has the number."""
    min_count: Annotated[int, Field(ge=1, lt=2**31)] = setting(
        1, "Leave out n-grams of two tokens and more that occur less often.", MODEL
    )

    @property
    def shape(self) -> str:
        return f"order {self.order}"


class PairConfig(NeuralConfig):
    """The settings of families that learn from pairs."""

    @property
    def source_limit(self) -> int | None:
        """Tokens of a source that are read; None is all."""
        return None


class CutSourceConfig(PairConfig):
    """The settings of families that cut long sources."""

    max_source_length: Size = setting(512, "Tokens of a source that are read; longer ones are cut and counted.", MODEL)

    @property
    def source_limit(self) -> int:
        return self.max_source_length


class TranslateConfig(CutSourceConfig):
    """The settings of encoder-decoders, which write a target for a source."""

    @property
    def name(self) -> str:
        return self.cell.removesuffix("-translate")


class RecurrentTranslateConfig(TranslateConfig, TwoWayConfig):
    """A recurrent encoder and a recurrent decoder (Sutskever et al. 2014), with attention (Luong et al. 2015)."""

    attention: Literal["dot", "none"] = setting(
        "dot",
        "How the decoder sees the source: all of it by dot-product attention, or only the encoder's last state.",
        MODEL,
    )
    input_feeding: bool = setting(False, "Give the decoder what it attended to in the step before; slower.", MODEL)

    @model_validator(mode="after")
    def _feeds_what_it_attended_to(self) -> Self:
        if self.input_feeding and self.attention == "none":
            raise ValueError("input_feeding: without attention there is nothing to feed; leave it out")
        return self


class RnnTranslateConfig(RecurrentTranslateConfig):
    """An encoder-decoder of plain recurrent networks."""

    cell: Literal["rnn-translate"] = "rnn-translate"


class LstmTranslateConfig(RecurrentTranslateConfig):
    """An encoder-decoder of LSTMs."""

    cell: Literal["lstm-translate"] = "lstm-translate"


class GruTranslateConfig(RecurrentTranslateConfig):
    """An encoder-decoder of GRUs."""

    cell: Literal["gru-translate"] = "gru-translate"


class TransformerTranslateConfig(TranslateConfig, AttentionConfig):
    """A transformer with an encoder and a decoder (Vaswani et al. 2017), pre-norm.

    Sinusoidal positions are the default: on reversal they had 96 to 100% of the sources right, rotary ones 93%.
    """

    cell: Literal["transformer-translate"] = "transformer-translate"
    layers: Depth = 2
    positions: Literal["rope", "sinusoidal"] = "sinusoidal"


def _tuple_of_list(value: Any) -> Any:
    """Return the list that JSON has as a tuple; anything else unchanged."""
    return tuple(value) if isinstance(value, list) else value


class LabelConfig(PairConfig):
    """The settings of models that choose a label of a closed set: for a whole text, or for each of its words."""

    labels: Annotated[tuple[str, ...], BeforeValidator(_tuple_of_list)] = ()
    """The labels of the training part, sorted; empty only before the text is known."""

    @property
    def name(self) -> str:
        return self.cell.partition("-")[0]

    @property
    def tags_as_it_reads(self) -> bool:
        """Whether it tags a word before it has read the next one."""
        return False

    @model_validator(mode="after")
    def _head_is_not_tied(self) -> Self:
        if self.tie_weights:
            raise ValueError("tie_weights: the output is labels and not tokens, so there is nothing to share")
        return self


class ClassifyConfig(LabelConfig, CutSourceConfig):
    """The settings of classifiers, which choose one label for a text."""

    pool: Literal["last", "mean", "attention"] = setting(
        "attention",
        "How the states of all tokens become one: the last of each direction, their mean, or a mean weighted by "
        "attention.",
        MODEL,
    )


class RecurrentClassifyConfig(ClassifyConfig, TwoWayConfig):
    """A recurrent encoder whose states are pooled; attention as of Yang et al. 2016."""


class RnnClassifyConfig(RecurrentClassifyConfig):
    """A classifier with plain recurrent networks."""

    cell: Literal["rnn-classify"] = "rnn-classify"


class LstmClassifyConfig(RecurrentClassifyConfig):
    """A classifier with LSTMs."""

    cell: Literal["lstm-classify"] = "lstm-classify"


class GruClassifyConfig(RecurrentClassifyConfig):
    """A classifier with GRUs."""

    cell: Literal["gru-classify"] = "gru-classify"


class TransformerClassifyConfig(ClassifyConfig, AttentionConfig):
    """A transformer encoder whose states are pooled."""

    cell: Literal["transformer-classify"] = "transformer-classify"
    layers: Depth = 2
    positions: Literal["rope", "sinusoidal"] = "sinusoidal"


class RecurrentTagConfig(LabelConfig, TwoWayConfig):
    """A recurrent network whose head has the tags; one-way, it tags a word as soon as it has read it."""

    @property
    def tags_as_it_reads(self) -> bool:
        return not self.two_way


class RnnTagConfig(RecurrentTagConfig):
    """A tagger with plain recurrent networks."""

    cell: Literal["rnn-tag"] = "rnn-tag"


class LstmTagConfig(RecurrentTagConfig):
    """A tagger with LSTMs (two-way: Graves and Schmidhuber 2005)."""

    cell: Literal["lstm-tag"] = "lstm-tag"


class GruTagConfig(RecurrentTagConfig):
    """A tagger with GRUs."""

    cell: Literal["gru-tag"] = "gru-tag"


class TransformerTagConfig(LabelConfig, AttentionConfig):
    """A transformer encoder whose head has the tags; it sees the whole sentence."""

    cell: Literal["transformer-tag"] = "transformer-tag"
    layers: Depth = 2


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
    long_presets: Presets | None = None
    """For runs of `presets.LONG_TIME` and more."""
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
    adamw: float,
    muon: float,
    **sizes: Any,
) -> Family:
    """Return the row of a family that learns from pairs, by the learning rate of each optimizer."""
    presets = {
        name: {**sizes, "lr": rate, "batch_size": batch_size} for name, rate in (("adamw", adamw), ("muon", muon))
    }
    return Family(config, model, presets=presets, batches="pairs", task=task)


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
        long_presets={
            "muon": {
                "hidden_size": 384, "layers": 2, "dropout": 0.25, "lr": 0.012, "bptt": 128, "batch_size": 64,
                "weight_decay": 0.05,
            },
            "adamw": {
                "hidden_size": 512, "layers": 2, "dropout": 0.35, "lr": 0.003, "bptt": 128, "batch_size": 32,
                "weight_decay": 0.05,
            },
        },
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
    "rnn-translate": _of_pairs("translate", RnnTranslateConfig, _TRANSLATOR, 64, adamw=0.003, muon=0.01),
    "lstm-translate": _of_pairs(
        "translate", LstmTranslateConfig, _TRANSLATOR, 64, adamw=0.008, muon=0.01, hidden_size=128
    ),
    "gru-translate": _of_pairs(
        "translate", GruTranslateConfig, _TRANSLATOR, 64, adamw=0.008, muon=0.01, hidden_size=128
    ),
    "transformer-translate": _of_pairs(
        "translate",
        TransformerTranslateConfig,
        "seqgen.models.translation.transformer.TransformerTranslator",
        64,
        adamw=0.003,
        muon=0.006,
    ),
    "rnn-classify": _of_pairs("classify", RnnClassifyConfig, _CLASSIFIER, 32, adamw=0.002, muon=0.01),
    "lstm-classify": _of_pairs("classify", LstmClassifyConfig, _CLASSIFIER, 32, adamw=0.005, muon=0.01),
    "gru-classify": _of_pairs("classify", GruClassifyConfig, _CLASSIFIER, 32, adamw=0.005, muon=0.01),
    "transformer-classify": _of_pairs(
        "classify",
        TransformerClassifyConfig,
        "seqgen.models.labeling.transformer.TransformerClassifier",
        32,
        adamw=0.001,
        muon=0.004,
    ),
    "rnn-tag": _of_pairs("tag", RnnTagConfig, _TAGGER, 32, adamw=0.002, muon=0.01),
    "lstm-tag": _of_pairs("tag", LstmTagConfig, _TAGGER, 32, adamw=0.005, muon=0.01),
    "gru-tag": _of_pairs("tag", GruTagConfig, _TAGGER, 32, adamw=0.005, muon=0.01),
    "transformer-tag": _of_pairs(
        "tag",
        TransformerTagConfig,
        "seqgen.models.labeling.transformer.TransformerTagger",
        32,
        adamw=0.001,
        muon=0.004,
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
