"""Set the weights of a mixture by expectation-maximization on a text that no member has learned from. No torch."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]

SMALLEST_GAIN = 1e-9
"""Nats per token: an iteration that gains less is the last."""


def fit_mixture_weights(nats: Floats) -> Floats:
    """Return the weights, which sum to 1, that give a text the highest probability.

    Starting from equal weights, each iteration sets a member's weight to its mean share of the mixture's probability
    of a token. The text never becomes less probable by it, and there is one maximum.

    Args:
        nats: -ln p of every token of the text under each member, [members, tokens].
    """
    probability = np.exp(nats.min(axis=0) - nats)  # relative to the best member's: nothing underflows for all
    weights = np.full(len(nats), 1 / len(nats))
    before = np.inf
    while True:
        mixed = weights @ probability
        loss = -float(np.log(mixed).mean())
        if before - loss < SMALLEST_GAIN:
            return weights
        before = loss
        weights = weights * (probability @ (1 / mixed))
        weights /= weights.sum()


def mixture_nats(nats: Floats, weights: Floats) -> Floats:
    """Return -ln of the mixture's probability of every token, [tokens]; arguments as above."""
    with np.errstate(divide="ignore"):  # a weight may be 0
        return -np.asarray(np.logaddexp.reduce(np.log(weights)[:, None] - nats, axis=0))
