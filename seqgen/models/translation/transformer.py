"""A transformer with an encoder and a decoder (Vaswani et al. 2017), pre-norm, with RMSNorm and SwiGLU.

The source is read by blocks that see all of it. Each block of the decoder attends to the target so far, then to the
encoder's outputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from seqgen.device import StepperPrecision
from seqgen.models.base import Stepper
from seqgen.models.config import TransformerTranslateConfig
from seqgen.models.cpu.dropout import Dropout
from seqgen.models.source import source_mask
from seqgen.models.state import State
from seqgen.models.transformer.encoder import Encoder, ScaledEmbedding
from seqgen.models.transformer.model import (
    BlockParts,
    Rotation,
    attend,
    attend_plainly,
    encode_positions,
    initialize_blocks,
    split_heads,
)
from seqgen.models.translation.base import SourceState, Translator


@dataclass(frozen=True)
class TransformerTranslatorState(SourceState):
    """The keys and values of the source and of the target so far, for each layer: [B, heads, S or ring, D]."""

    source_keys: tuple[Tensor, ...]
    source_values: tuple[Tensor, ...]
    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    position: Tensor
    """The tokens of the target read so far, int64 [B]."""


torch.export.register_dataclass(TransformerTranslatorState)


class TransformerTranslator(Translator):
    """The model that the module describes."""

    config: TransformerTranslateConfig

    def __init__(self, config: TransformerTranslateConfig, vocab_size: int) -> None:
        super().__init__()
        self.config = config
        self.vocab_size = vocab_size
        self.embedding = ScaledEmbedding(vocab_size, config.hidden_size)
        self.encoder = Encoder(config)
        self.layers = nn.ModuleList(DecoderBlock(config) for _ in range(config.layers))
        self.norm = nn.RMSNorm(config.hidden_size, eps=config.norm_epsilon)
        self.head = nn.Linear(config.hidden_size, vocab_size, bias=False)
        self.dropout = Dropout(config.dropout)
        if config.tie_weights:
            self.head.weight = self.embedding.weight
        initialize_blocks(self, config.layers)
        self.embedding.reset_parameters()

    def encode(self, source: Tensor, lengths: Tensor, capacity: int) -> TransformerTranslatorState:
        rows, length = source.shape
        config = self.config
        x = self.encoder(self.embedding(source), lengths)
        dtype = torch.promote_types(self.head.weight.dtype, torch.float32)
        read = [block.read_source(x) for block in self.blocks]
        source_keys, source_values = (tuple(one.to(dtype) for one in side) for side in zip(*read, strict=True))
        shape = (rows, config.heads, capacity, config.hidden_size // config.heads)
        keys, values = (tuple(x.new_zeros(shape, dtype=dtype) for _ in self.layers) for _ in range(2))
        return TransformerTranslatorState(
            lengths,
            x.new_zeros(rows, 1, length, 1, dtype=dtype),
            source_keys,
            source_values,
            keys,
            values,
            torch.zeros_like(lengths),
        )

    def features(
        self, tokens: Tensor, state: State | None = None, starts: Tensor | None = None
    ) -> tuple[Tensor, TransformerTranslatorState]:
        del starts  # 0 begins the target, and does not clear the source
        rows, length = tokens.shape
        at = cast("TransformerTranslatorState", self.initial_state(rows, length) if state is None else state)
        positions = at.position[:, None] + torch.arange(length, device=tokens.device)
        x, rotation = encode_positions(self.embedding(tokens), positions, self.config)
        x = self.dropout(x)
        ring = at.keys[0].shape[2]
        # Slot p of a cache holds position p, as a target never exceeds its capacity.
        held = torch.arange(ring, device=tokens.device).expand(rows, -1)
        known = torch.where(held < at.position[:, None], held, torch.iinfo(torch.int64).max)
        mask = None  # causal attention within the tokens: the fast path of training
        if ring or self.plain:
            mask = (torch.cat([known, positions], 1)[:, None, :] <= positions[:, :, None]).unsqueeze(1)
        seen = source_mask(at.lengths, at.source_keys[0].shape[2])[:, None, None, :].expand(-1, -1, length, -1)
        caches, attention = [], at.weights
        for depth, block in enumerate(self.blocks):
            held_by_layer = at.keys[depth], at.values[depth]
            read = at.source_keys[depth], at.source_values[depth], seen
            x, cache, weights = block(x, rotation, mask, held_by_layer, at.position, *read)
            caches.append(cache)
            attention = weights if weights is not None else attention
            self.record(**{f"stream.{depth}": x})
        keys, values = zip(*caches, strict=True)
        moved = TransformerTranslatorState(
            at.lengths, attention.to(at.weights.dtype), at.source_keys, at.source_values, keys, values,
            at.position + length,
        )  # fmt: skip
        return self.norm(x), moved

    @property
    def blocks(self) -> list[DecoderBlock]:
        """The layers with their own type."""
        return cast("list[DecoderBlock]", list(self.layers))

    def _stepper(self, precision: StepperPrecision) -> Stepper:
        if self.plain:
            return super()._stepper(precision)
        from seqgen.models.translation.stepper import TransformerTranslatorStepper

        return TransformerTranslatorStepper(self, precision)


class DecoderBlock(BlockParts):
    """A block that also attends to the source, between its two halves."""

    def __init__(self, config: TransformerTranslateConfig) -> None:
        super().__init__(config)
        size = config.hidden_size
        self.source_norm = nn.RMSNorm(size, eps=config.norm_epsilon)
        self.source_query, self.source_key, self.source_value, self.source_output = (
            nn.Linear(size, size, bias=False) for _ in range(4)
        )

    def forward(
        self,
        x: Tensor,
        rotation: Rotation,
        mask: Tensor,
        cache: tuple[Tensor, Tensor],
        consumed: Tensor,
        source_keys: Tensor,
        source_values: Tensor,
        seen: Tensor,
    ) -> tuple[Tensor, tuple[Tensor, Tensor], Tensor | None]:
        """Run the block: x [B, T, H] -> [B, T, H], the cache, and weights as of `attend_to_source`.

        The arguments are those of `attend_to_itself`, then those of `attend_to_source`.
        """
        x, cache = self.attend_to_itself(x, rotation, mask, cache, consumed)
        x, weights = self.attend_to_source(x, source_keys, source_values, seen)
        return self.feed_forward(x), cache, weights

    def read_source(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Return the keys and values of the encoder's outputs [B, S, H]: [B, heads, S, D] each."""
        return split_heads(self.source_key(memory), self.heads), split_heads(self.source_value(memory), self.heads)

    def attend_to_source(self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor | None]:
        """Attend to the source: [B, T, H] -> [B, T, H]; on the plain path also the newest token's weights [B, 1, S, 1].

        Args:
            x: the residual stream.
            keys: of the source, [B, heads, S, D].
            values: of the source.
            mask: which of its positions have a token, bool [B, 1, T, S].
        """
        q = split_heads(self.source_query(self.source_norm(x)), self.heads)
        weights = None
        keys, values = keys.to(q.dtype), values.to(q.dtype)
        if self.plain:
            y, attention = attend_plainly(q, keys, values, mask)
            self.record(cross=attention.transpose(1, 2))  # [B, T, heads, S]
            weights = attention[:, :, -1].mean(1)[:, None, :, None]
        else:
            y = attend(q, keys, values, mask)
        return x + self.dropout(self.source_output(y.transpose(1, 2).flatten(2))), weights
