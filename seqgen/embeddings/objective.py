"""The formulas of word2vec: the mean of the context, scores, losses and their gradients, by hand.

h [B, D] are the hidden vectors of B predictions, u [V, D] the vectors of the words as words that are predicted.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Gradients(NamedTuple):
    """A loss and its gradients by the hidden vectors and by the vectors of the words that were scored."""

    loss: Tensor
    """In nats, of each prediction. [B]"""
    hidden: Tensor
    """[B, D]"""
    contexts: Tensor
    """Softmax: [V, D], the sum of the batch. Negative sampling: [B, 1 + K, D]."""


def mean_weights(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the weight of each input in the mean: 1 / n for the n words that are there, else 0: [B, C]."""
    there = mask.to(dtype)
    return there / there.sum(dim=1, keepdim=True)


def context_mean(vectors: Tensor, inputs: Tensor, mask: Tensor) -> Tensor:
    """Return h, the mean of the vectors of the inputs that are there: [B, D].

    At the edge of a text, and where the window is narrow, these are fewer.
    """
    return torch.einsum("bc,bcd->bd", mean_weights(mask, vectors.dtype), vectors[inputs])


def softmax_gradients(hidden: Tensor, contexts: Tensor, targets: Tensor) -> Gradients:
    """Return the cross-entropy of the softmax of all scores, -log p(target), and its gradients.

    By the score of a word, the derivative is p(word) - 1 for the target and p(word) for any other word.
    """
    scores = hidden @ contexts.T
    loss = F.cross_entropy(scores, targets, reduction="none")
    error = scores.softmax(dim=1)
    error[torch.arange(len(targets)), targets] -= 1.0
    return Gradients(loss, error @ contexts, error.T @ hidden)


def negative_gradients(hidden: Tensor, contexts: Tensor, targets: Tensor, noise: Tensor) -> Gradients:
    """Return the loss of negative sampling, -log s(h u) - sum log s(-h u') over noise words, and its gradients.

    s is the sigmoid. The first row of the gradient by `contexts` is of the target, the others are of the noise words
    [B, K]. A noise word that is the target does not count.
    """
    rows = scored_rows(targets, noise)
    counts = rows != targets[:, None]
    counts[:, 0] = True
    scored = contexts[rows]
    scores = torch.einsum("bd,bkd->bk", hidden, scored)
    label = torch.zeros_like(scores)
    label[:, 0] = 1.0
    loss = (F.binary_cross_entropy_with_logits(scores, label, reduction="none") * counts).sum(dim=1)
    error = (scores.sigmoid() - label) * counts
    return Gradients(loss, torch.einsum("bk,bkd->bd", error, scored), error[:, :, None] * hidden[:, None])


def scored_rows(targets: Tensor, noise: Tensor) -> Tensor:
    """Return the rows that negative sampling scores: the target, then the noise words: [B, 1 + K]."""
    return torch.cat([targets[:, None], noise], dim=1)
