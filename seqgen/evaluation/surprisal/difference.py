"""Compare what the same characters cost under two models, whose tokens may differ. No torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqgen.errors import ConfigError
from seqgen.evaluation.token_scores import TokenScores
from seqgen.tokenizers.base import BOUNDARY


@dataclass(frozen=True, eq=False)
class Difference:
    """The shortest spans of a text that both models cut into whole tokens, [M] each.

    If both score the end of the document, it is the last span, and empty. If one does, it is left out.
    """

    spans: npt.NDArray[np.int64]
    """Where each begins and ends in the text, [M, 2]."""
    first: npt.NDArray[np.float64]
    """Its nats under the first model, with the spelling of each `<unk>`."""
    second: npt.NDArray[np.float64]
    """The same under the second model."""

    @property
    def nats(self) -> npt.NDArray[np.float64]:
        """How many nats more the first model needs; below 0 where the first is better."""
        nats: npt.NDArray[np.float64] = self.first - self.second
        return nats


def compare_tokens(first: TokenScores, second: TokenScores) -> Difference:
    """Return what two models need for the same document.

    Raises:
        ConfigError: the models normalize the text to different forms.
    """
    if first.text != second.text:
        raise ConfigError(
            "against: the tokenizers of the two runs normalize this text differently, so their characters cannot be "
            "compared; choose runs with the same --normalization"
        )
    stops = np.intersect1d(first.spans[:, 1], second.spans[:, 1])
    stops = stops[stops > 0]
    sums = [_sum_spans(scores, stops) for scores in (first, second)]
    ended = all(scores.ids[-1] == BOUNDARY for scores in (first, second))
    spans = np.stack([np.concatenate([[0], stops[:-1]]), stops], axis=1)
    if ended:
        spans = np.concatenate([spans, [[stops[-1], stops[-1]]]])
    return Difference(spans, *(one[: len(spans)] for one in sums))


def _sum_spans(scores: TokenScores, stops: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return the nats between the stops, [M], and of the end or 0, [M + 1] in all.

    A token belongs to the span in which it begins.
    """
    span = np.searchsorted(stops, scores.spans[:, 0], side="right")
    sums = np.zeros(len(stops) + 1)
    np.add.at(sums, span, scores.nats + scores.unk_cost)
    return sums
