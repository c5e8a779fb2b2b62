"""Recurrent labelers: an encoder, one-way or two-way, with a head over the labels.

A classifier pools the states of the encoder. A two-way tagger has a hidden vector for each token from both directions
(Graves and Schmidhuber 2005). A one-way tagger is the recurrent language model with another head: its state carries on
from token to token, so it tags a word as soon as it has read it.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from seqgen.models.base import initialize_embedding_and_head
from seqgen.models.config import RecurrentClassifyConfig, RecurrentTagConfig
from seqgen.models.cpu.dropout import Dropout
from seqgen.models.labeling.base import EncoderLabeler, Labeler, TwoWayTagger
from seqgen.models.labeling.pooling import Classifier, Pool
from seqgen.models.recurrent.encoder import Encoder
from seqgen.models.recurrent.model import HiddenState, RecurrentLayer, RecurrentModel, initialize_recurrent_layer


class RecurrentLabeler(EncoderLabeler):
    """A labeler with a recurrent encoder."""

    config: RecurrentClassifyConfig | RecurrentTagConfig

    def __init__(self, config: RecurrentClassifyConfig | RecurrentTagConfig, vocab_size: int) -> None:
        super().__init__()
        self.config = config
        self.vocab_size = vocab_size
        self.embedding = nn.Embedding(vocab_size, config.input_size)
        self.encoder = Encoder(config)
        self.dropout = Dropout(config.dropout)
        self.head = nn.Linear(config.hidden_size, len(config.labels))
        initialize_embedding_and_head(self.embedding, self.head)
        for layer in self.encoder.layers:
            initialize_recurrent_layer(cast("RecurrentLayer", layer))

    def read(self, source: Tensor, lengths: Tensor) -> Tensor:
        memory: Tensor
        memory, _ = self.encoder(self.dropout(self.embedding(source)), lengths)
        return memory


class RecurrentClassifier(Classifier, RecurrentLabeler):
    """A classifier with a recurrent encoder."""

    config: RecurrentClassifyConfig

    def __init__(self, config: RecurrentClassifyConfig, vocab_size: int) -> None:
        super().__init__(config, vocab_size)
        self.pool = Pool(config, two_way=config.two_way)


class RecurrentTwoWayTagger(TwoWayTagger, RecurrentLabeler):
    """A tagger with a recurrent encoder that reads in both directions."""

    config: RecurrentTagConfig


class RecurrentOneWayTagger(RecurrentModel, Labeler):
    """A tagger whose state carries on: it needs no more than the tokens so far."""

    config: RecurrentTagConfig

    def __init__(self, config: RecurrentTagConfig, vocab_size: int) -> None:
        super().__init__(config, vocab_size)
        self.head = nn.Linear(config.hidden_size, len(config.labels))
        initialize_embedding_and_head(self.embedding, self.head)

    def encode(self, source: Tensor, lengths: Tensor, capacity: int) -> HiddenState:
        """Return the state before the first token: the source is read when it comes as tokens."""
        del lengths
        return self.initial_state(len(source), capacity)


def build_tagger(config: RecurrentTagConfig, vocab_size: int) -> Labeler:
    """Build the tagger that the config describes."""
    return (RecurrentTwoWayTagger if config.two_way else RecurrentOneWayTagger)(config, vocab_size)
