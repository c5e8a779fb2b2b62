"""The neural cache against the paper's sums, one token after the other."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from seqgen.evaluation.adaptation.cache import NeuralCache

WINDOW, THETA, SHARE, VOCAB_SIZE = 5, 0.7, 0.25, 4


@pytest.fixture
def stream() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Hidden vectors, targets, and ln p of every token by the model."""
    random = torch.Generator().manual_seed(0)
    hidden = torch.randn(17, 3, generator=random, dtype=torch.float64)
    targets = torch.randint(VOCAB_SIZE, (17,), generator=random)
    return hidden, targets, torch.randn(17, VOCAB_SIZE, generator=random, dtype=torch.float64).log_softmax(-1)


def plain(hidden: torch.Tensor, targets: torch.Tensor, log_probs: torch.Tensor) -> list[list[float]]:
    """Return p of every token at every place."""
    found = []
    for place in range(len(targets)):
        model = log_probs[place].exp().tolist()
        held = range(max(0, place - WINDOW), place)
        scores = [math.exp(THETA * float(hidden[one] @ hidden[place])) for one in held]
        cached = [
            sum(s for s, one in zip(scores, held, strict=True) if targets[one] == token) for token in range(VOCAB_SIZE)
        ]
        total = sum(scores)
        found.append(
            [(1 - SHARE) * p + SHARE * c / total for p, c in zip(model, cached, strict=True)] if held else model
        )
    return found


@pytest.mark.parametrize("chunk", [1, 4, 17])
def test_nats_are_those_of_the_definition_for_every_chunking(stream, chunk):
    hidden, targets, log_probs = stream
    cache = NeuralCache(WINDOW, THETA, SHARE)
    own = -log_probs.gather(1, targets[:, None])[:, 0]

    parts = [slice(start, start + chunk) for start in range(0, 17, chunk)]
    found = torch.cat([cache.nats(hidden[part], targets[part], own[part]) for part in parts])

    expected = [-math.log(row[token]) for row, token in zip(plain(*stream), targets.tolist(), strict=True)]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)


def test_log_probs_are_those_of_the_definition(stream):
    hidden, targets, log_probs = stream
    cache = NeuralCache(WINDOW, THETA, SHARE)

    for place, expected in enumerate(plain(*stream)):
        found = cache.log_probs(hidden[place], log_probs[place]).exp()
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)
        cache.add(hidden[place], int(targets[place]))


def test_clear_forgets_all_pairs(stream):
    hidden, targets, log_probs = stream
    cache = NeuralCache(WINDOW, THETA, SHARE)
    cache.add(hidden[0], int(targets[0]))

    cache.clear()

    assert torch.equal(cache.log_probs(hidden[1], log_probs[1]), log_probs[1])


def test_costs_beyond_the_range_of_exp_are_finite():
    cache = NeuralCache(WINDOW, THETA, SHARE)
    hidden, targets = torch.ones(3, 2), torch.tensor([1, 2, 1])

    found = cache.nats(hidden, targets, torch.full((3,), 200.0))

    expected = [200.0, 200.0 - math.log(1 - SHARE), -math.log(SHARE / 2)]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)
    log_probs = cache.log_probs(hidden[0], torch.tensor([0.0, -1.0, -2.0, -1000.0], dtype=torch.float64))
    assert log_probs[3].item() == pytest.approx(-1000.0 + math.log(1 - SHARE))


def test_cache_with_a_share_of_zero_changes_nothing():
    cache = NeuralCache(WINDOW, THETA, 0.0)
    hidden, nats = torch.ones(3, 2), torch.tensor([1.0, 2.0, 3.0])

    assert torch.equal(cache.nats(hidden, torch.tensor([1, 2, 1]), nats).float(), nats)
