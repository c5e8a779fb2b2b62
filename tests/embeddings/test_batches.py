"""Training in plain torch: a batch is a step of gradient descent."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from seqgen.embeddings.batches import train_in_batches
from seqgen.embeddings.config import EmbeddingModelConfig
from seqgen.embeddings.draws import draw_examples


@pytest.mark.parametrize("method", ["cbow", "skipgram"])
@pytest.mark.parametrize("loss", ["softmax", "negative"])
def test_batch_is_a_step_of_gradient_descent(corpus, method, loss):
    model = EmbeddingModelConfig(method=method, loss=loss, window=2, negative=3, vector_size=4)
    kept, draw = corpus.vocabulary.kept(0.0), np.random.default_rng(0)
    vectors, contexts = draw.normal(size=(2, 60, 4))  # fp64
    before = [torch.tensor(array, requires_grad=True) for array in (vectors, contexts)]
    examples = draw_examples(corpus, model, kept, 0, 1, 5)
    mask = torch.tensor(examples.mask)
    hidden = (before[0][examples.inputs] * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)
    if loss == "softmax":
        losses = F.cross_entropy(hidden @ before[1].T, torch.tensor(examples.targets), reduction="sum")
    else:
        scores = torch.einsum("bd,bkd->bk", hidden, before[1][examples.noise])
        used = torch.tensor(examples.noise != examples.targets[:, None])
        target = (hidden * before[1][examples.targets]).sum(1)
        losses = -F.logsigmoid(target).sum() - (F.logsigmoid(-scores) * used).sum()
    losses.backward()

    total, count = train_in_batches(corpus, model, kept, vectors, contexts, (0, 1), 5, [0.01], batch_size=10_000)

    assert (total, count) == (pytest.approx(losses.item()), len(examples.targets))
    for now, then in zip((vectors, contexts), before, strict=True):
        np.testing.assert_allclose(now, (then - 0.01 * then.grad).detach().numpy(), atol=1e-12)


def test_each_block_has_its_own_rate(corpus):
    model, kept = EmbeddingModelConfig(window=2, vector_size=4), corpus.vocabulary.kept(0.0)
    apart, together = (np.random.default_rng(0).normal(size=(2, 60, 4)) for _ in range(2))

    train_in_batches(corpus, model, kept, *together, (2, 4), 5, [0.5, 0.1], batch_size=1)
    train_in_batches(corpus, model, kept, *apart, (2, 3), 5, [0.5], batch_size=1)
    train_in_batches(corpus, model, kept, *apart, (3, 4), 5, [0.1], batch_size=1)

    np.testing.assert_array_equal(apart, together)
