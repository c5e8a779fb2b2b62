"""Transformer labelers: the encoder of Vaswani et al. 2017, which sees all of the source, with a head of labels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seqgen.models.cpu.dropout import Dropout
from seqgen.models.labeling.base import Labeler, OutputState, TwoWayTagger, add_temperature
from seqgen.models.labeling.pooling import Classifier, Pool
from seqgen.models.registry import TransformerClassifyConfig, TransformerTagConfig
from seqgen.models.transformer.model import Block, initialize_blocks, position_frequencies
from seqgen.models.transformer.positions import rotary, rotation_of, sinusoids
from seqgen.models.translation.base import source_mask


class TransformerLabeler(Labeler):
    """A labeler with a transformer encoder, pre-norm."""

    config: TransformerClassifyConfig | TransformerTagConfig

    def __init__(self, config: TransformerClassifyConfig | TransformerTagConfig, vocab_size: int) -> None:
        super().__init__()
        self.config = config
        self.vocab_size = vocab_size
        self.embedding = nn.Embedding(vocab_size, config.hidden_size)
        self.encoder = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.RMSNorm(config.hidden_size, eps=config.norm_epsilon)
        self.head = nn.Linear(config.hidden_size, len(config.labels), bias=False)
        self.dropout = Dropout(config.dropout)
        add_temperature(self)
        initialize_blocks(self, config.layers)
        nn.init.normal_(self.embedding.weight, std=config.hidden_size**-0.5)

    def encode(self, source: Tensor, lengths: Tensor, capacity: int) -> OutputState:
        del capacity  # the state does not grow
        config, (rows, length) = self.config, source.shape
        positions = torch.arange(length, device=source.device).expand(rows, -1)
        frequencies = position_frequencies(config, source.device)
        x, rotation = self.embedding(source) * config.hidden_size**0.5, None  # as of encoder-decoders
        if config.positions == "sinusoidal":
            x = x + sinusoids(positions, frequencies).to(x.dtype)
        else:
            cos, sin = rotary(positions, frequencies)
            rotation = rotation_of(cos.to(x.dtype), sin.to(x.dtype))
        x = self.dropout(x)
        mask = source_mask(lengths, length)[:, None, None, :].expand(-1, 1, length, -1)
        none = x.new_zeros(rows, config.heads, 0, config.hidden_size // config.heads)
        for block in self.encoder:
            x, _ = block(x, rotation, mask, (none, none), lengths)
        x = self.norm(x).to(torch.promote_types(self.head.weight.dtype, torch.float32))
        return OutputState(lengths, x.unsqueeze(1), torch.zeros_like(lengths))


class TransformerClassifier(Classifier, TransformerLabeler):
    """A classifier with a transformer encoder."""

    config: TransformerClassifyConfig

    def __init__(self, config: TransformerClassifyConfig, vocab_size: int) -> None:
        super().__init__(config, vocab_size)
        self.pool = Pool(config)


class TransformerTagger(TwoWayTagger, TransformerLabeler):
    """A tagger with a transformer encoder."""

    config: TransformerTagConfig
