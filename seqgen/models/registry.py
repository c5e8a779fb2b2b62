"""The model families: their config classes and the table that names them. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

from pydantic import Field, model_validator

from seqgen.config import Config
from seqgen.utils.text import plural

Size = Annotated[int, Field(ge=1, le=65_536)]
Depth = Annotated[int, Field(ge=1, le=256)]
Share = Annotated[float, Field(ge=0.0, lt=1.0)]


class _RecurrentConfig(Config):
    """What the recurrent families share.

    `embedding_size` None is `hidden_size` up to 128: a wider one costs a product as large as the recurrent one, and
    gained nothing in the trials (docs/recipes.md). Tied weights need the two equal.
    """

    hidden_size: Size = 256
    embedding_size: Size | None = None
    layers: Depth = 1
    dropout: Share = 0.1
    tie_weights: bool = False

    @property
    def input_size(self) -> int:
        """The width of the embedding."""
        if self.embedding_size is not None:
            return self.embedding_size
        return self.hidden_size if self.tie_weights else min(self.hidden_size, 128)

    @model_validator(mode="after")
    def _tied_sizes_agree(self) -> _RecurrentConfig:
        if self.tie_weights and self.embedding_size not in {None, self.hidden_size}:
            raise ValueError(
                f"tie_weights: the embedding ({self.embedding_size}) and the hidden state ({self.hidden_size}) must "
                "have one size; leave embedding_size out"
            )
        return self


class RnnConfig(_RecurrentConfig):
    """A plain recurrent network, h = tanh(W x + U h + b) (Elman 1990)."""

    cell: Literal["rnn"] = "rnn"
    hidden_size: Size = 384
    dropout: Share = 0.0


class LstmConfig(_RecurrentConfig):
    """Long short-term memory (Hochreiter and Schmidhuber 1997; forget gate: Gers et al. 2000)."""

    cell: Literal["lstm"] = "lstm"


class GruConfig(_RecurrentConfig):
    """Gated recurrent units (Cho et al. 2014). `gru_reset` chooses between the two published forms: `cells.py`."""

    cell: Literal["gru"] = "gru"
    gru_reset: Literal["after", "before"] = "after"


class TransformerConfig(Config):
    """A decoder-only transformer of the Llama shape. Attention reaches `block_size` tokens back, itself included.

    `feed_forward_size` None is the customary 8/3 of `hidden_size`, rounded up to a multiple of 32.
    """

    cell: Literal["transformer"] = "transformer"
    hidden_size: Size = 128
    layers: Depth = 4
    heads: Depth = 4
    block_size: Annotated[int, Field(ge=2, le=1_048_576)] = 64
    positions: Literal["rope", "sinusoidal"] = "rope"
    feed_forward_size: Size | None = None
    dropout: Share = 0.0
    tie_weights: bool = False

    @property
    def inner_size(self) -> int:
        """The width of the feed-forward layers."""
        return self.feed_forward_size or 32 * -(-8 * self.hidden_size // (3 * 32))

    @model_validator(mode="after")
    def _heads_divide(self) -> TransformerConfig:
        if self.hidden_size % (2 * self.heads):
            raise ValueError(
                f"heads: {plural(self.heads, 'head')} must share hidden_size {self.hidden_size} in equal, even parts; "
                f"try --hidden-size {2 * self.heads * max(1, round(self.hidden_size / (2 * self.heads)))}"
            )
        return self


RecurrentConfig = RnnConfig | LstmConfig | GruConfig
ModelConfig = Annotated[RecurrentConfig | TransformerConfig, Field(discriminator="cell")]


class Family(NamedTuple):
    """A row of `FAMILIES`."""

    config: type[RecurrentConfig | TransformerConfig]
    model: str
    """Module and class of the model, dotted."""


FAMILIES: dict[str, Family] = {
    "rnn": Family(RnnConfig, "seqgen.models.recurrent.RecurrentModel"),
    "lstm": Family(LstmConfig, "seqgen.models.recurrent.RecurrentModel"),
    "gru": Family(GruConfig, "seqgen.models.recurrent.RecurrentModel"),
    "transformer": Family(TransformerConfig, "seqgen.models.transformer.TransformerModel"),
}
"""The model families by the name of their cell. A new family is one file and one row."""
