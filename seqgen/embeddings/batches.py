"""Training in plain torch: for the softmax over all words, and where numba is not installed.

The gradients of some predictions are summed before the vectors change.
"""

from __future__ import annotations

from typing import Literal

import torch

from seqgen.device import torch_threads
from seqgen.embeddings.config import EmbeddingModelConfig
from seqgen.embeddings.corpus import Thresholds, WordCorpus
from seqgen.embeddings.draws import draw_examples
from seqgen.embeddings.objective import (
    context_mean,
    mean_weights,
    negative_gradients,
    scored_rows,
    softmax_gradients,
)
from seqgen.embeddings.vectors import Matrix

BATCH_SIZE = 64
"""Predictions of a batch. More are faster, and learn less from a text."""


def train_in_batches(
    corpus: WordCorpus,
    model: EmbeddingModelConfig,
    kept: Thresholds,
    vectors: Matrix,
    contexts: Matrix,
    blocks: tuple[int, int],
    key: int,
    rates: list[float],
    threads: int = 1,
    batch_size: int = BATCH_SIZE,
) -> tuple[float, int]:
    """Learn the blocks from the first up to the last of `blocks`; return the sum of the losses, and their number.

    The vectors are changed in place; `rates` has the learning rate of each block. A batch has that of its first
    prediction.
    """
    examples = draw_examples(corpus, model, kept, *blocks, key)
    inputs, mask, targets, noise = map(
        torch.from_numpy, (examples.inputs, examples.mask, examples.targets, examples.noise)
    )
    into, out = torch.from_numpy(vectors), torch.from_numpy(contexts)
    loss = 0.0
    with torch_threads(threads), torch.no_grad():
        for begin in range(0, len(targets), batch_size):
            batch = slice(begin, begin + batch_size)
            rate = rates[int(examples.blocks[begin]) - blocks[0]]
            loss += _learn(into, out, (inputs[batch], mask[batch], targets[batch], noise[batch]), rate, model.loss)
    return loss, len(targets)


def _learn(
    vectors: torch.Tensor,
    contexts: torch.Tensor,
    batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor],
    rate: float,
    objective: Literal["negative", "softmax"],
) -> float:
    """Take a step of gradient descent on the sum of the losses of a batch; return that sum."""
    inputs, mask, targets, noise = batch
    hidden = context_mean(vectors, inputs, mask)
    if objective == "softmax":
        found = softmax_gradients(hidden, contexts, targets)
        contexts.sub_(found.contexts, alpha=rate)
    else:
        found = negative_gradients(hidden, contexts, targets, noise)
        contexts.index_add_(0, scored_rows(targets, noise).flatten(), found.contexts.flatten(0, 1), alpha=-rate)
    shares = mean_weights(mask, vectors.dtype)[:, :, None] * found.hidden[:, None]
    vectors.index_add_(0, inputs.flatten(), shares.flatten(0, 1), alpha=-rate)
    return float(found.loss.sum())
