"""Set the weights of a mixture by expectation-maximization on a text that no member has learned from. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from seqgen.errors import RunError

Floats: TypeAlias = npt.NDArray[np.float64]

SMALLEST_GAIN = 1e-9
"""Nats per token: an iteration that gains less is the last."""


def fit_mixture_weights(nats: Floats, names: Sequence[str] = ()) -> Floats:
    """Return the weights, which sum to 1, that give a text the highest probability.

    Starting from equal weights, each iteration sets a member's weight to its mean share of the mixture's probability
    of a token. The text never becomes less probable by it, and there is one maximum.

    Args:
        nats: -ln p of every token of the text under each member, [members, tokens]; infinity for an impossible token.
        names: of the members, for messages; without them they are numbered.

    Raises:
        RunError: a member gives NaN or negative infinity, or all members give a token no probability.
    """
    _check_nats(nats, names)
    probability = np.exp(nats.min(axis=0) - nats)  # relative to the best member's: nothing underflows for all
    weights = np.full(len(nats), 1 / len(nats))
    before = np.inf
    while True:
        mixed = weights @ probability
        loss = -float(np.log(mixed).mean())
        if not before - loss >= SMALLEST_GAIN:  # NaN too
            return weights
        before = loss
        weights = weights * (probability @ (1 / mixed))
        weights /= weights.sum()


def _check_nats(nats: Floats, names: Sequence[str]) -> None:
    for number, one in enumerate(nats):
        if np.isnan(one).any() or np.isneginf(one).any():
            name = names[number] if names else f"number {number + 1}"
            raise RunError(
                f"the member {name} gives probabilities of NaN or infinity, so the weights of the mixture cannot be "
                "set; train it again, or mix without it"
            )
    impossible = np.flatnonzero(np.isposinf(nats).all(axis=0))
    if len(impossible):
        raise RunError(
            f"every member gives token {impossible[0]} of the validation text a probability of 0, so the weights of "
            "the mixture cannot be set; add a member that can predict it"
        )


def mixture_nats(nats: Floats, weights: Floats) -> Floats:
    """Return -ln of the mixture's probability of every token, [tokens]; arguments as above."""
    with np.errstate(divide="ignore"):  # a weight may be 0
        return -np.asarray(np.logaddexp.reduce(np.log(weights)[:, None] - nats, axis=0))
