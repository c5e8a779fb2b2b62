"""A transformer encoder, pre-norm (Vaswani et al. 2017): blocks that see all of a source."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seqgen.models.base import Layer
from seqgen.models.config import AttentionConfig
from seqgen.models.cpu.dropout import Dropout
from seqgen.models.source import source_mask
from seqgen.models.transformer.model import Block, encode_positions


class ScaledEmbedding(nn.Embedding):
    """An embedding of vectors of length 1, scaled to the size of sinusoidal positions.

    This is section 3.4 of Vaswani et al. 2017. Where embeddings were a tenth of the positions, a model of 64 learned
    nothing of reversal in two minutes.
    """

    def reset_parameters(self) -> None:
        nn.init.normal_(self.weight, std=self.embedding_dim**-0.5)

    def forward(self, tokens: Tensor) -> Tensor:
        scaled: Tensor = super().forward(tokens) * self.embedding_dim**0.5
        return scaled


class Encoder(Layer):
    """The blocks that read a source, and the norm after them."""

    def __init__(self, config: AttentionConfig) -> None:
        super().__init__()
        self.config = config
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.RMSNorm(config.hidden_size, eps=config.norm_epsilon)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Read embedded sources, filled at the right: [B, S, H], [B] -> outputs [B, S, H]."""
        rows, length, size = x.shape
        positions = torch.arange(length, device=x.device).expand(rows, -1)
        x, rotation = encode_positions(x, positions, self.config)
        x = self.dropout(x)
        mask = source_mask(lengths, length)[:, None, None, :].expand(-1, -1, length, -1)
        none = x.new_zeros(rows, self.config.heads, 0, size // self.config.heads)
        for depth, block in enumerate(self.blocks):
            x, _ = block(x, rotation, mask, (none, none), lengths)
            self.record(**{f"source.{depth}": x})
        outputs: Tensor = self.norm(x)
        return outputs
