"""The formulas of word2vec, by hand in fp64 on "the fat cat sat on the mat", and against autograd."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from seqgen.embeddings.objective import context_mean, mean_weights, negative_gradients, softmax_gradients
from seqgen.tokenizers.config import TokenizerConfig
from seqgen.tokenizers.word import WordTokenizer

WORDS = ["the", "fat", "cat", "sat", "on", "mat"]
TEXT = [WORDS.index(word) for word in ["the", "fat", "cat", "sat", "on", "the", "mat"]]
VECTORS = torch.tensor([[1, 0], [0, 1], [1, 1], [2, 0], [0, 2], [1, -1]], dtype=torch.float64)
CONTEXTS = torch.tensor([[0, 0], [1, 0], [0, 1], [1, 1], [-1, 0], [0, -1]], dtype=torch.float64)
SCORES = [0.0, 0.5, 1.0, 1.5, -0.5, -1.0]
"""Of h = (0.5, 1) with the rows of `CONTEXTS`."""
TOTAL = sum(map(math.exp, SCORES))
P = [math.exp(score) / TOTAL for score in SCORES]
SAT = WORDS.index("sat")


def window(center):
    """Return the words within two of a place, and which of the four are there."""
    places = [center - 2, center - 1, center + 1, center + 2]
    there = [0 <= place < len(TEXT) for place in places]
    inputs = [TEXT[place] if inside else 0 for place, inside in zip(places, there, strict=True)]
    return torch.tensor([inputs]), torch.tensor([there])


@pytest.mark.parametrize(
    ("center", "mean"),
    [(3, (0.5, 1.0)), (0, (0.5, 1.0)), (1, (4 / 3, 1 / 3)), (6, (0.5, 1.0)), (5, (1.0, 1 / 3))],
)
def test_context_mean_is_over_the_words_that_are_there(center, mean):
    hidden = context_mean(VECTORS, *window(center))

    torch.testing.assert_close(hidden, torch.tensor([mean], dtype=torch.float64))


def test_one_hot_vectors_are_orthogonal_and_choose_a_row_of_the_matrix():
    tokenizer = WordTokenizer.train(
        ["a motel is a kind of hotel, a kid is a child"], TokenizerConfig(kind="word", keep_rare=True)
    )
    ids = torch.tensor(np.concatenate([tokenizer.encode(word) for word in ["motel", "hotel", "kid", "child"]]))
    one_hot = torch.nn.functional.one_hot(ids.long(), tokenizer.vocab_size).double()
    matrix = torch.randn(tokenizer.vocab_size, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    assert tokenizer.unknown_id not in ids.tolist()
    assert torch.equal(one_hot @ one_hot.T, torch.eye(4, dtype=torch.float64))
    assert torch.equal(one_hot @ matrix, matrix[ids])
    assert torch.equal(context_mean(matrix, ids[:, None], torch.ones(4, 1)), matrix[ids])


def test_softmax_loss_and_gradients_by_hand():
    inputs, mask = window(3)
    hidden = context_mean(VECTORS, inputs, mask)

    found = softmax_gradients(hidden, CONTEXTS, torch.tensor([SAT]))

    assert (hidden @ CONTEXTS.T)[0].tolist() == SCORES
    assert float(found.loss) == pytest.approx(-math.log(P[SAT]), abs=1e-12) == pytest.approx(0.88168, abs=1e-5)
    by_hidden = (P[1] + P[3] - P[4] - 1, P[2] + P[3] - P[5] - 1)  # sum of p u, minus u of sat
    assert found.hidden[0].tolist() == pytest.approx(by_hidden, abs=1e-12)
    error = [p - (row == SAT) for row, p in enumerate(P)]
    assert found.contexts.flatten().tolist() == pytest.approx([e * h for e in error for h in (0.5, 1.0)], abs=1e-12)
    assert mean_weights(mask, torch.float64).tolist() == [[0.25] * 4]  # the share of each word's vector in `by_hidden`


def test_softmax_gradients_are_those_of_autograd():
    vectors, contexts = VECTORS.clone().requires_grad_(), CONTEXTS.clone().requires_grad_()
    windows = [window(center) for center in range(len(TEXT))]
    inputs, mask = (torch.cat(parts) for parts in zip(*windows, strict=True))
    hidden = context_mean(vectors, inputs, mask)
    hidden.retain_grad()

    torch.nn.functional.cross_entropy(hidden @ contexts.T, torch.tensor(TEXT), reduction="sum").backward()
    found = softmax_gradients(hidden.detach(), contexts.detach(), torch.tensor(TEXT))

    torch.testing.assert_close(found.hidden, hidden.grad)
    torch.testing.assert_close(found.contexts, contexts.grad)


def test_negative_sampling_gradients_are_those_of_autograd():
    generator = torch.Generator().manual_seed(0)
    hidden, contexts = (torch.randn(size, 4, dtype=torch.float64, generator=generator) for size in (3, 7))
    targets, noise = torch.tensor([0, 1, 6]), torch.tensor([[2, 2], [1, 5], [3, 4]])
    hidden.requires_grad_()
    scored = contexts[torch.cat([targets[:, None], noise], 1)].clone().requires_grad_()
    scores = (hidden[:, None] * scored).sum(2)
    losses = [-scores[:, 0].sigmoid().log(), *(-(-scores[:, k]).sigmoid().log() for k in (1, 2))]
    losses[1] = losses[1] * torch.tensor([1.0, 0.0, 1.0])  # the noise word 1 is the target

    sum(losses).sum().backward()
    found = negative_gradients(hidden.detach(), contexts, targets, noise)

    torch.testing.assert_close(found.loss, sum(losses).detach())
    torch.testing.assert_close(found.hidden, hidden.grad)
    torch.testing.assert_close(found.contexts, scored.grad)
