"""The neural cache (Grave et al. 2017, "Improving neural language models with a continuous cache").

The cache keeps pairs of a hidden vector and the token that followed it. It predicts each of its tokens in proportion to
exp(theta x the product of its vector and the present one), and is mixed with the model: (1 - share) p + share p_cache.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


class NeuralCache:
    """The last `window` pairs of a stream, in the precision of the model; what they predict is mixed with it in fp64.

    Args:
        window: the most pairs.
        theta: the factor of the products.
        share: the weight of the cache, lambda in the paper.
    """

    def __init__(self, window: int, theta: float, share: float) -> None:
        self._window, self._theta = window, theta
        self._log_shares = torch.tensor([1 - share, share], dtype=torch.float64).log().tolist()
        self.clear()

    def clear(self) -> None:
        """Forget all pairs."""
        self._hidden, self._tokens = torch.empty(0), torch.empty(0, dtype=torch.int64)

    def nats(self, hidden: Tensor, targets: Tensor, nats: Tensor) -> Tensor:
        """Predict each target, then keep it.

        Args:
            hidden: the vectors from which the model predicted, [T, H].
            targets: int64 [T].
            nats: what they cost by the model, [T].

        Returns:
            What they cost by model and cache, fp64 [T].
        """
        held = len(self._tokens)
        self._add(hidden, targets)
        length = len(self._tokens)
        age = torch.arange(held, length, device=hidden.device)[:, None] - torch.arange(length, device=hidden.device)
        scores = self._theta * hidden @ self._hidden.T
        attention = scores.masked_fill((age < 1) | (age > self._window), -math.inf).softmax(-1)
        cached = (attention * (self._tokens == targets[:, None])).sum(-1)
        mixed = -self._mix(-nats, cached)
        self._hidden, self._tokens = self._hidden[-self._window :], self._tokens[-self._window :]
        return torch.cat([nats[:1].double(), mixed[1:]]) if held == 0 else mixed  # the first has nothing to look up

    def log_probs(self, hidden: Tensor, log_probs: Tensor) -> Tensor:
        """Mix the cache into ln p of every token: fp64 [V] for a hidden vector [H]."""
        if not len(self._tokens):
            return log_probs.double()
        attention = (self._theta * self._hidden @ hidden).softmax(0)
        cached = attention.new_zeros(len(log_probs)).index_add_(0, self._tokens, attention)
        return self._mix(log_probs, cached)

    def add(self, hidden: Tensor, token: int) -> None:
        """Keep a pair: a hidden vector [H] and the token that followed."""
        self._add(hidden[None], torch.tensor([token], device=hidden.device))
        self._hidden, self._tokens = self._hidden[-self._window :], self._tokens[-self._window :]

    def _mix(self, log_probs: Tensor, cached: Tensor) -> Tensor:
        """Return ln p by model and cache, in fp64, of ln p by the model and p by the cache."""
        of_model, of_cache = self._log_shares
        return torch.logaddexp(of_model + log_probs.double(), of_cache + cached.double().log())

    def _add(self, hidden: Tensor, tokens: Tensor) -> None:
        if not len(self._tokens):
            self._hidden, self._tokens = hidden, tokens
        else:
            self._hidden, self._tokens = torch.cat([self._hidden, hidden]), torch.cat([self._tokens, tokens])
