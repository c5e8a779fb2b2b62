"""How fast a transformer trains on this CPU, beside `transformers`' Llama of the same shape as a user writes it.

    pip install -e '.[bench]' && python benchmarks/training.py --rounds 5

A row is one whole training step: batch, forward, backward, clipping, optimizer. Ours is in bf16 where the machine
multiplies it; the peer is in fp32, with AdamW and the same batch. The variants take turns within a round; medians over
the rounds are printed.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn

from seqgen import models
from seqgen.data.batches import Windows
from seqgen.models.config import TransformerConfig
from seqgen.runtime import select_precision
from seqgen.training.config import TrainingConfig
from seqgen.training.learner import Learner

CPU = torch.device("cpu")
VOCAB_SIZE = 67
SHAPES = {
    "128x4, block 64, batch 12": (TransformerConfig(hidden_size=128, layers=4, heads=4, block_size=64), 12),
    "384x6, block 256, batch 8": (TransformerConfig(hidden_size=384, layers=6, heads=6, block_size=256), 8),
}

Step = Callable[[int], object]
"""Takes the training step of that number."""


def ours(config: TransformerConfig, batch_size: int) -> Step:
    """The step of `seqgen train`."""
    ids = np.random.default_rng(0).integers(1, VOCAB_SIZE, 200_000, dtype=np.int32)
    model = models.build(config, VOCAB_SIZE).eval()
    stream = Windows((ids,), batch_size, config.block_size, 0)
    training = TrainingConfig(batch_size=batch_size, lr=1e-3, max_steps=10**6)
    return Learner(model, stream, training, select_precision("auto", CPU)).step


def llama(config: TransformerConfig, batch_size: int) -> Step:
    """The step of a plain loop over `transformers`."""
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


def measure(name: str, steps: dict[str, Step], tokens: int, rounds: int, repeats: int) -> None:
    """Print a line a variant: tokens a second, and how many times the first one's."""
    rates: dict[str, list[float]] = {variant: [] for variant in steps}
    for turn in range(rounds + 1):
        for variant, step in steps.items():
            began = time.perf_counter()
            for index in range(repeats):
                step(turn * repeats + index)
            if turn:  # the first round warms up
                rates[variant].append(tokens * repeats / (time.perf_counter() - began))
    peer = next(iter(rates))
    for variant, found in rates.items():
        ratio = statistics.median(mine / theirs for mine, theirs in zip(found, rates[peer], strict=True))
        print(f"| {name} | {variant} | {statistics.median(found):,.0f} | {ratio:.2f} |", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="How fast a transformer trains, beside transformers' Llama.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    print("| transformer | variant | tokens/s | x peer |\n|---|---|---|---|")
    for name, (config, batch_size) in SHAPES.items():
        steps = {"transformers fp32": llama(config, batch_size), "seqgen": ours(config, batch_size)}
        measure(name, steps, batch_size * config.block_size, given.rounds, given.repeats)


if __name__ == "__main__":
    main()
