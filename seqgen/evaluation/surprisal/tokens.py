"""Keep every token of a text with its nats, its rank, and the tokens that the model held most probable."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqgen.data.documents import Documents
from seqgen.evaluation.scoring import Predictions
from seqgen.evaluation.segments import Integers
from seqgen.evaluation.token_scores import TokenScores
from seqgen.tokenizers.base import Tokenizer

ALTERNATIVES = 5
"""The most probable tokens that are kept for each token."""


@dataclass(frozen=True, eq=False)
class PredictedTokens:
    """The tokens of one document, and the K most probable tokens in the place of each."""

    scores: TokenScores
    """N tokens with their nats and places."""
    rank: npt.NDArray[np.int32]
    """1 and the number of tokens that are more probable, [N]."""
    top: npt.NDArray[np.int32]
    """The ids of the most probable tokens, the most probable first, [N, K]."""
    top_probabilities: npt.NDArray[np.float32]
    """[N, K]."""

    def __len__(self) -> int:
        return len(self.rank)

    @property
    def nats(self) -> npt.NDArray[np.float64]:
        """What each token costs, with the spelling of `<unk>`, [N]."""
        nats: npt.NDArray[np.float64] = self.scores.nats + self.scores.unk_cost
        return nats


class PredictedDocuments:
    """The tokens of all documents, in some 50 bytes for each token.

    Args:
        documents: the texts.
        ids: their ids.
        tokenizer: what made them.
    """

    def __init__(self, documents: tuple[str, ...], ids: Documents, tokenizer: Tokenizer) -> None:
        self._documents, self._tokenizer = documents, tokenizer
        self._stops: Integers = np.cumsum(ids.lengths)
        self._offsets: Integers = self._stops - ids.lengths
        count = min(ALTERNATIVES, tokenizer.vocab_size)
        self._nats = np.zeros(ids.tokens)
        self._rank = np.zeros(ids.tokens, np.int32)
        self._top = np.zeros((ids.tokens, count), np.int32)
        self._top_probabilities = np.zeros((ids.tokens, count), np.float32)

    def add(self, predictions: Predictions) -> None:
        """Keep a block of tokens."""
        place = self._offsets[predictions.document] + predictions.position
        self._nats[place] = predictions.nats
        self._rank[place] = predictions.rank
        self._top[place] = predictions.top
        self._top_probabilities[place] = np.exp(predictions.top_log_probs)

    def __len__(self) -> int:
        return len(self._documents)

    def __getitem__(self, document: int) -> PredictedTokens:
        own = slice(int(self._offsets[document]), int(self._stops[document]))
        scores = TokenScores.of(self._documents[document], self._tokenizer, self._nats[own])
        return PredictedTokens(scores, self._rank[own], self._top[own], self._top_probabilities[own])

    def __iter__(self) -> Iterator[PredictedTokens]:
        return (self[document] for document in range(len(self)))

    def name(self, token: int) -> str:
        """Return the name of a token, as of `Tokenizer.token_name`."""
        return self._tokenizer.token_name(token)

    def places(self) -> Iterator[tuple[int, int]]:
        """Yield the document of every token, and its position in the document, in their order."""
        for document, (start, stop) in enumerate(zip(self._offsets.tolist(), self._stops.tolist(), strict=True)):
            yield from ((document, position) for position in range(stop - start))

    def hardest(self, count: int) -> Iterator[tuple[int, int]]:
        """Yield the places of the `count` tokens that cost the most nats with their spelling, the worst first."""
        nats = np.concatenate([tokens.nats for tokens in self])
        for number in np.argsort(-nats, kind="stable")[:count].tolist():
            document = int(np.searchsorted(self._stops, number, side="right"))
            yield document, number - int(self._offsets[document])
