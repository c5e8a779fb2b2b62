"""A decoder-only transformer of the Llama shape: pre-norm RMSNorm, rotary positions, SwiGLU, no biases.

Attention reaches `block_size` tokens back (a sliding window). The key-value cache is a ring of that size: position p
is in slot p mod size, so a text of any length runs in constant memory. A boundary token hides everything before it, and
positions count from it.

SwiGLU: Shazeer 2020. Positions: `positions.py`. With sinusoidal positions a document must not be longer than
`max_positions`; the callers check that.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqgen.device import StepperPrecision
from seqgen.models.base import Layer, NeuralModel, Stepper
from seqgen.models.config import AttentionConfig, TransformerConfig
from seqgen.models.cpu.dropout import Dropout
from seqgen.models.state import State
from seqgen.models.transformer.positions import frequencies, rotary, rotate, rotation_of, sinusoids

Rotation = tuple[Tensor, Tensor] | None
"""The result of `rotation_of`; None for other positions."""


@dataclass(frozen=True)
class TransformerState(State):
    """The caches of all layers, and where the rows are."""

    keys: tuple[Tensor, ...]
    """[B, heads, ring, D] for each layer."""
    values: tuple[Tensor, ...]
    position: Tensor
    """The number of tokens read so far, int64 [B]."""
    begin: Tensor
    """The number of tokens read when the current document began, int64 [B]."""

    @property
    def ring(self) -> int:
        """The length of the caches."""
        return self.keys[0].shape[2]

    @property
    def by_layer(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The keys and values of each layer."""
        return zip(self.keys, self.values, strict=True)

    def moved(self, position: Tensor, begin: Tensor) -> TransformerState:
        """Return the state at another place, with the same caches."""
        return TransformerState(self.keys, self.values, position, begin)

    def starting(self, starts: Tensor | None) -> TransformerState:
        """Return the state for a token at which documents start in some rows, bool [B]."""
        return self if starts is None else self.moved(self.position, torch.where(starts, self.position, self.begin))


torch.export.register_dataclass(TransformerState)


class TransformerModel(NeuralModel):
    """The model that the module describes."""

    config: TransformerConfig

    def __init__(self, config: TransformerConfig, vocab_size: int) -> None:
        super().__init__()
        self.config = config
        self.vocab_size = vocab_size
        self.max_positions = config.block_size if config.positions == "sinusoidal" else None
        self.burn_in = max(256, config.layers * config.block_size)  # the reach of attention through all layers
        self.embedding = nn.Embedding(vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.RMSNorm(config.hidden_size, eps=config.norm_epsilon)
        self.head = nn.Linear(config.hidden_size, vocab_size, bias=False)
        self.dropout = Dropout(config.dropout)
        if config.tie_weights:
            self.head.weight = self.embedding.weight
        initialize_blocks(self, config.layers)

    def initial_state(self, batch_size: int, capacity: int) -> TransformerState:
        config = self.config
        ring = min(capacity, config.block_size)
        shape = (batch_size, config.heads, ring, config.hidden_size // config.heads)
        weight = self.embedding.weight
        dtype = torch.promote_types(weight.dtype, torch.float32)
        caches = [torch.zeros(shape, dtype=dtype, device=weight.device) for _ in range(2 * config.layers)]
        keys, values = tuple(caches[::2]), tuple(caches[1::2])
        position, begin = (torch.zeros(batch_size, dtype=torch.int64, device=self.device) for _ in range(2))
        return TransformerState(keys, values, position, begin)

    def features(
        self, tokens: Tensor, state: State | None = None, starts: Tensor | None = None
    ) -> tuple[Tensor, TransformerState]:
        rows, length = tokens.shape
        at = cast("TransformerState", state) if state is not None else self.initial_state(rows, 0)
        positions = at.position[:, None] + torch.arange(length, device=tokens.device)  # [B, T]
        begins = at.begin[:, None].expand(-1, length)
        if starts is not None:
            begins = torch.where(starts, positions, begins).cummax(dim=1).values

        x, rotation = encode_positions(self.embedding(tokens), positions - begins, self.config)
        x = self.dropout(x)
        self.record(embedded=x)
        # A fresh window inside one document needs no mask: the fast path of training.
        whole = state is None and starts is None and length <= self.config.block_size
        mask = None if whole else self._mask(positions, begins, at.position, at.ring)
        caches = []
        for depth, (block, cache) in enumerate(zip(self.blocks, at.by_layer, strict=True)):
            x, after = block(x, rotation, mask, cache, at.position)
            caches.append(after)
            self.record(**{f"stream.{depth}": x})
        keys, values = zip(*caches, strict=True)
        return self.norm(x), TransformerState(keys, values, at.position + length, begins[:, -1])

    def _mask(self, positions: Tensor, begins: Tensor, consumed: Tensor, ring: int) -> Tensor:
        """Make the attention mask, the ring's slots first: bool [B, 1, T, ring + T]."""
        slots = torch.arange(ring, device=positions.device)
        newest = consumed[:, None] - 1
        held = newest - (newest - slots) % ring if ring else positions[:, :0]  # negative: never written
        key_positions = torch.cat([held, positions], dim=1)[:, None, :]
        earliest = torch.maximum(begins, positions - self.config.block_size + 1)[:, :, None]
        return ((key_positions >= earliest) & (key_positions <= positions[:, :, None])).unsqueeze(1)

    @property
    def blocks(self) -> list[Block]:
        """The layers with their own type."""
        return cast("list[Block]", list(self.layers))

    def _stepper(self, precision: StepperPrecision) -> Stepper:
        if self.plain:
            return super()._stepper(precision)
        from seqgen.models.transformer.stepper import TransformerStepper

        return TransformerStepper(self, precision)


class BlockParts(Layer):
    """The halves of a block, each applied to the normalized stream and added to it."""

    def __init__(self, config: AttentionConfig) -> None:
        super().__init__()
        size = config.hidden_size
        inner = config.inner_size
        self.heads = config.heads
        self.attention_norm = nn.RMSNorm(size, eps=config.norm_epsilon)
        self.query, self.key, self.value, self.attention_output = (nn.Linear(size, size, bias=False) for _ in range(4))
        self.feed_forward_norm = nn.RMSNorm(size, eps=config.norm_epsilon)
        self.gate, self.up = (nn.Linear(size, inner, bias=False) for _ in range(2))
        self.down = nn.Linear(inner, size, bias=False)
        self.dropout = Dropout(config.dropout)

    def attend_to_itself(
        self,
        x: Tensor,
        rotation: Rotation,
        mask: Tensor | None,
        cache: tuple[Tensor, Tensor],
        consumed: Tensor,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Run the first half: x [B, T, H] -> [B, T, H], and the cache with the new keys and values.

        Args:
            x: the residual stream.
            rotation: how to rotate queries and keys.
            mask: bool [B, 1, T, ring + T], what may be attended to; None for all tokens before.
            cache: keys and values, [B, heads, ring, D] each.
            consumed: the tokens before x, int64 [B].
        """
        y = self.attention_norm(x)
        q, k, v = (split_heads(linear(y), self.heads) for linear in (self.query, self.key, self.value))
        if rotation is not None:
            q, k = rotate(q, rotation), rotate(k, rotation)
        keys, values = k, v
        if cache[0].shape[2]:
            keys, values = (torch.cat([past.to(k.dtype), new], 2) for past, new in zip(cache, (k, v), strict=True))
            cache = remember(cache, k, v, consumed, in_place=not (self.plain or torch.is_grad_enabled()))
        y = self._attend(q, keys, values, mask)
        return x + self.dropout(self.attention_output(y.transpose(1, 2).flatten(2))), cache

    def feed_forward(self, x: Tensor) -> Tensor:
        """Run the second half: [B, T, H] -> [B, T, H]."""
        y = self.feed_forward_norm(x)
        gate = F.silu(self.gate(y))
        self.record(attended=x, gate=gate)
        fed: Tensor = self.dropout(self.down(gate * self.up(y)))
        return x + fed

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        if not self.plain:
            return attend(q, k, v, mask)
        y, attention = attend_plainly(q, k, v, mask)
        self.record(attention=attention.transpose(1, 2))  # [B, T, heads, ring + T]
        return y


class Block(BlockParts):
    """Attention, then feed-forward."""

    def forward(
        self,
        x: Tensor,
        rotation: Rotation,
        mask: Tensor | None,
        cache: tuple[Tensor, Tensor],
        consumed: Tensor,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Run the block; arguments and results as of `attend_to_itself`."""
        x, cache = self.attend_to_itself(x, rotation, mask, cache, consumed)
        return self.feed_forward(x), cache


def split_heads(x: Tensor, heads: int) -> Tensor:
    """Divide vectors among heads: [B, T, H] -> [B, heads, T, D]."""
    return x.view(*x.shape[:2], heads, -1).transpose(1, 2)


FULL_SCORES = 1 << 26
"""Size of a batch's scores up to which they are computed at once; above it they take too much memory."""


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Attend with q [B, heads, T, D] to k and v [B, heads, K, D] -> [B, heads, T, D].

    On a CPU in bf16, torch's fused form takes two to four times as long as these products. The plain twin is
    `attend_plainly`.

    Args:
        q: queries.
        k: keys.
        v: values.
        mask: bool [B, 1, T, K], true where a query may attend; None is causal attention, with K = T.
    """
    rows, heads, length, size = q.shape
    if q.device.type != "cpu" or q.dtype is not torch.bfloat16 or rows * heads * length * k.shape[2] > FULL_SCORES:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)
    if mask is None:
        hidden = torch.full((length, length), -math.inf, dtype=q.dtype).triu_(1)
    else:
        hidden = torch.zeros(mask.shape, dtype=q.dtype).masked_fill_(~mask, -math.inf)
        hidden = hidden.expand(rows, heads, -1, -1).flatten(0, 1)
    q, k, v = (member.flatten(0, 1) for member in (q, k, v))
    scores = torch.baddbmm(hidden, q, k.transpose(1, 2), alpha=size**-0.5)
    return torch.bmm(scores.softmax(-1), v).view(rows, heads, length, size)


def attend_plainly(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Do what `attend` does by plain products; return the attention too, [B, heads, T, K]."""
    if mask is None:
        mask = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool, device=q.device).tril()
    scores = q @ k.transpose(2, 3) * q.shape[3] ** -0.5
    attention = scores.masked_fill(~mask, -math.inf).softmax(-1)
    return attention @ v, attention


def remember(
    cache: tuple[Tensor, Tensor], k: Tensor, v: Tensor, consumed: Tensor, *, in_place: bool = True
) -> tuple[Tensor, Tensor]:
    """Write the newest keys and values [B, heads, T, D] over the oldest of the ring, and return the cache."""
    ring, length = cache[0].shape[2], k.shape[2]
    kept = min(ring, length)
    slots = (consumed[:, None] + torch.arange(length - kept, length, device=k.device)) % ring
    index = slots[:, None, :, None].expand(-1, k.shape[1], -1, k.shape[3])
    news = (new[:, :, -kept:].to(member.dtype) for member, new in zip(cache, (k, v), strict=True))
    if in_place:
        for member, new in zip(cache, news, strict=True):
            member.scatter_(2, index, new)
        return cache
    keys, values = (member.scatter(2, index, new) for member, new in zip(cache, news, strict=True))
    return keys, values


def position_frequencies(config: AttentionConfig, device: torch.device) -> Tensor:
    """Compute the frequencies of a model's positions."""
    size = config.hidden_size // config.heads if config.positions == "rope" else config.hidden_size
    return frequencies(size, config.position_base, device)


def encode_positions(x: Tensor, positions: Tensor, config: AttentionConfig) -> tuple[Tensor, Rotation]:
    """Return x [B, T, H] with sinusoidal positions added, or x and how to rotate queries and keys."""
    bases = position_frequencies(config, x.device)
    if config.positions == "sinusoidal":
        return x + sinusoids(positions, bases).to(x.dtype), None
    cos, sin = rotary(positions, bases)
    return x, rotation_of(cos.to(x.dtype), sin.to(x.dtype))


@torch.no_grad()
def initialize_blocks(model: nn.Module, layers: int) -> None:
    """Draw all matrices. Each block adds to the residual stream twice, so its last products start smaller (GPT-2)."""
    for name, parameter in model.named_parameters():
        if parameter.dim() == 2:
            shrink = (2 * layers) ** -0.5 if name.endswith(("output.weight", "down.weight")) else 1.0
            nn.init.normal_(parameter, std=0.02 * shrink)
