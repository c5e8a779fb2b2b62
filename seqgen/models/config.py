"""The settings of the model families: a config class for each. Imports no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from seqgen.config import BY_PRESET, MODEL, Config, setting
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
    """A plain recurrent network, h = tanh(W x + U h + b) (Elman 1990); `activation` may replace the tanh."""

    cell: Literal["rnn"] = "rnn"
    hidden_size: Size = 384
    activation: Literal["tanh", "sigmoid", "relu"] = setting("tanh", "Activation function of the hidden state.", MODEL)

    @property
    def form(self) -> str:
        """The name of the cell's equations: its row in `recurrent.CELLS`."""
        return "rnn" if self.activation == "tanh" else f"rnn-{self.activation}"


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

    Sinusoidal positions are the default: on reversal they had 96 to 100% of the sources right, rotary ones 93%. Sources
    are short, so the slowest wave is too: with a base of 10,000 half of the waves hardly move within 512 positions.
    """

    cell: Literal["transformer-translate"] = "transformer-translate"
    layers: Depth = 2
    positions: Literal["rope", "sinusoidal"] = "sinusoidal"
    position_base: float = Field(100.0, gt=1.0)


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
