"""Time a training step: a transformer next to `transformers`' Llama of the same shape, and Muon next to AdamW.

A step is whole: batch, forward, backward, clipping, optimizer. Ours is in bf16 where the processor has instructions
for it, by AdamW and by Muon; the peer is in fp32 and by AdamW, as a user writes it, with the same batch. The cost of a
step by Muon says how many steps of the two take equally long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, cast

import numpy as np
import torch
from measuring import Row, Work, race
from torch import nn

from seqgen import models
from seqgen.data.documents import Documents
from seqgen.device import select_precision
from seqgen.models.base import NeuralModel
from seqgen.models.config import FamilyConfig, TransformerConfig
from seqgen.models.registry import FAMILIES, cells_for
from seqgen.runs.config import resolve_settings
from seqgen.runs.setup import build_stream
from seqgen.training.config import TrainingConfig
from seqgen.training.learner import Learner

VOCAB_SIZE = 67
SHAPES = {
    "128x4, block 64, batch 12": (TransformerConfig.of(hidden_size=128, layers=4, heads=4, block_size=64), 12),
    "384x6, block 256, batch 8": (TransformerConfig.of(hidden_size=384, layers=6, heads=6, block_size=256), 8),
}
STEPS = 8
Optimizer = Literal["adamw", "muon"]
OPTIMIZERS: tuple[Optimizer, ...] = ("adamw", "muon")

Step = Callable[[int], object]
"""Takes the training step with that number."""


def rows(rounds: int, threads: int) -> Iterator[Row]:
    """Yield the rows of each transformer shape, and of each cell's preset."""
    del threads  # torch has them
    precision = select_precision("auto", torch.device("cpu"))
    for name, (config, batch_size) in SHAPES.items():
        tokens = batch_size * config.block_size
        yield from race(
            f"train a transformer {name}",
            "token",
            {
                f"seqgen {precision}, {optimizer}": _steps(_ours(config, batch_size, optimizer), tokens)
                for optimizer in OPTIMIZERS
            },
            {"transformers, fp32": _steps(_llama(config, batch_size), tokens)},
            rounds,
        )
    for cell in cells_for("generate"):
        if not FAMILIES[cell].neural:
            continue
        muon, adamw = (_preset_learner(cell, optimizer) for optimizer in ("muon", "adamw"))
        yield from race(
            f"train the {cell} of a minute",
            "token",
            {f"seqgen {precision}, muon": _steps(muon.step, muon.tokens_per_step)},
            {f"seqgen {precision}, adamw": _steps(adamw.step, adamw.tokens_per_step)},
            rounds,
        )


def _steps(step: Step, tokens: int) -> Work:
    taken = iter(range(10**9))

    def work() -> float:
        for _ in range(STEPS):
            step(next(taken))
        return STEPS * tokens

    return work


def _ours(config: TransformerConfig, batch_size: int, optimizer: Optimizer) -> Step:
    """Return the step of `seqgen train`."""
    training = TrainingConfig.of(batch_size=batch_size, optimizer=optimizer, lr=1e-3, max_steps=10**6)
    return _learner(config, training).step


def _preset_learner(cell: str, optimizer: Optimizer) -> Learner:
    """Return what `seqgen train --cell CELL --optimizer OPTIMIZER` trains with for a minute."""
    request = resolve_settings({"cell": cell, "optimizer": optimizer, "max_steps": 10**6})
    return _learner(request.model, cast("TrainingConfig", request.training))


def _learner(config: FamilyConfig, training: TrainingConfig) -> Learner:
    documents = Documents.of([np.random.default_rng(0).integers(1, VOCAB_SIZE, 200_000, dtype=np.int32)])
    stream = build_stream(config, training, documents)
    precision = select_precision("auto", torch.device("cpu"))
    return Learner(cast("NeuralModel", models.build(config, VOCAB_SIZE).eval()), stream, training, precision)


def _llama(config: TransformerConfig, batch_size: int) -> Step:
    """Return the step of a plain loop over `transformers`."""
    import transformers

    model = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=VOCAB_SIZE, hidden_size=config.hidden_size, num_hidden_layers=config.layers,
            num_attention_heads=config.heads, num_key_value_heads=config.heads,
            intermediate_size=32 * -(-8 * config.hidden_size // 96), max_position_embeddings=4096, use_cache=False,
        )
    )  # fmt: skip
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    generator = torch.Generator().manual_seed(0)

    def step(index: int) -> None:
        del index
        tokens = torch.randint(1, VOCAB_SIZE, (batch_size, config.block_size), generator=generator)
        loss = model(input_ids=tokens, labels=tokens).loss
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step
