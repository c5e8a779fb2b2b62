"""The stepper of transformers that translate: one token of each target at a time, on packed weights.

The default stepper copies the caches at every step. On paragraphs with a beam of 5 this one takes 0.3 of its time, on
targets of 15 letters 0.7. The plain twin is `DefaultStepper`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import torch
from torch import Tensor

from seqgen.device import StepperPrecision
from seqgen.models.cpu.packed import StepperLinear
from seqgen.models.source import source_mask
from seqgen.models.state import State
from seqgen.models.transformer.stepper import BlockStepper, normalized_weight, select_caches
from seqgen.models.translation.transformer import TransformerTranslator, TransformerTranslatorState


class TransformerTranslatorStepper(BlockStepper):
    """One token at a time on packed weights; the state has the attention to the source, as on the plain path."""

    @torch.no_grad()
    def __init__(self, model: TransformerTranslator, precision: StepperPrecision) -> None:
        super().__init__(model.config, model.embedding, model.blocks, model.norm, model.head, precision)
        self._queries = [
            StepperLinear(normalized_weight(block.source_norm, block.source_query), None, precision)
            for block in model.blocks
        ]
        self._outputs = [StepperLinear(block.source_output.weight, None, precision) for block in model.blocks]

    def select(self, state: State, index: Tensor) -> State:
        at = cast("TransformerTranslatorState", state)
        keys, values = (select_caches(caches, at.position, index, torch.float32) for caches in (at.keys, at.values))
        rest = replace(at, keys=(), values=()).select(index)
        return replace(rest, keys=keys, values=values)

    @torch.no_grad()
    def step(self, token: Tensor, state: State, starts: Tensor | None = None) -> tuple[Tensor, State]:
        del starts  # 0 begins the target, and does not clear the source
        at = cast("TransformerTranslatorState", state)
        x = self._embed(token, at.position)
        place = self._locate(at.position, torch.zeros_like(at.position), at.keys[0].shape[2])
        padding = ~source_mask(at.lengths, at.source_keys[0].shape[2])[:, None]
        attention = at.weights
        for depth, block in enumerate(self._blocks):
            x = self._attend_to_itself(block, x, (at.keys[depth], at.values[depth]), place)
            q = self._queries[depth](self._normalize(x))
            y, attention = self._attend_to_source(q, at.source_keys[depth], at.source_values[depth], padding)
            x = self._feed_forward(block, x + self._outputs[depth](y))
        return self._head(self._normalize(x)), replace(at, weights=attention, position=at.position + 1)

    def _attend_to_source(self, q: Tensor, keys: Tensor, values: Tensor, padding: Tensor) -> tuple[Tensor, Tensor]:
        """Attend with q [B, H] to keys and values [B, heads, S, D]: [B, H], and the mean weights [B, 1, S, 1]."""
        rows, heads, _, size = keys.shape
        scores = torch.matmul(keys, q.view(rows, heads, size, 1)).squeeze(3).mul_(size**-0.5)
        weights = scores.masked_fill_(padding, -torch.inf).softmax(-1)
        return torch.matmul(weights.unsqueeze(2), values).view(rows, -1), weights.mean(1)[:, None, :, None]
