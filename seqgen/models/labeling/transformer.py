"""Transformer labelers: an encoder, which sees all of the source, with a head of labels."""

from __future__ import annotations

from torch import Tensor, nn

from seqgen.models.config import TransformerClassifyConfig, TransformerTagConfig
from seqgen.models.labeling.base import EncoderLabeler, TwoWayTagger
from seqgen.models.labeling.pooling import Classifier, Pool
from seqgen.models.transformer.encoder import Encoder, ScaledEmbedding
from seqgen.models.transformer.model import initialize_blocks


class TransformerLabeler(EncoderLabeler):
    """A labeler with a transformer encoder."""

    config: TransformerClassifyConfig | TransformerTagConfig

    def __init__(self, config: TransformerClassifyConfig | TransformerTagConfig, vocab_size: int) -> None:
        super().__init__()
        self.config = config
        self.vocab_size = vocab_size
        self.embedding = ScaledEmbedding(vocab_size, config.hidden_size)
        self.encoder = Encoder(config)
        self.head = nn.Linear(config.hidden_size, len(config.labels), bias=False)
        initialize_blocks(self, config.layers)
        self.embedding.reset_parameters()

    def read(self, source: Tensor, lengths: Tensor) -> Tensor:
        outputs: Tensor = self.encoder(self.embedding(source), lengths)
        return outputs


class TransformerClassifier(Classifier, TransformerLabeler):
    """A classifier with a transformer encoder."""

    config: TransformerClassifyConfig

    def __init__(self, config: TransformerClassifyConfig, vocab_size: int) -> None:
        super().__init__(config, vocab_size)
        self.pool = Pool(config)


class TransformerTagger(TwoWayTagger, TransformerLabeler):
    """A tagger with a transformer encoder."""

    config: TransformerTagConfig
