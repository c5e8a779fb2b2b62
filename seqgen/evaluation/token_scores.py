"""The cost of each token of one text, and its place in the text. No torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqgen.tokenizers.base import BOUNDARY, Ids, Tokenizer


@dataclass(frozen=True)
class TokenScores:
    """The tokens of a text, [N] each. Where the model models the ends of documents, id 0 is the last token.

    A token's span is of the characters that it completes: a character that several ids spell belongs to the last of
    them, and the others have an empty span. So the spans, in order, are the whole text.
    """

    text: str
    """What was scored: the text in the Unicode form of the tokenizer, without lone surrogates."""
    ids: Ids
    spans: npt.NDArray[np.int64]
    """Where the characters of each token begin and end in `text`, [N, 2]."""
    nats: npt.NDArray[np.float64]
    """-ln p of each token."""
    unk_cost: npt.NDArray[np.float64]
    """The nats that it takes to spell a token that is `<unk>`; 0 for the others."""

    @classmethod
    def of(cls, text: str, tokenizer: Tokenizer, nats: npt.NDArray[np.floating]) -> TokenScores:
        """Return the scores of `text`; `nats` are those of its ids, and of its end if it has one more."""
        ids, spelled = tokenizer.encode(text), tokenizer.token_texts(text)
        unknown = np.zeros(len(nats))
        if tokenizer.unknown_id is not None:
            for place in np.flatnonzero(ids == tokenizer.unknown_id).tolist():
                unknown[place] = tokenizer.unk_cost(spelled[place])
        if len(nats) > len(ids):
            ids, spelled = np.append(ids, np.int32(BOUNDARY)), [*spelled, ""]
        stops = np.cumsum([len(piece) for piece in spelled], dtype=np.int64)
        spans = np.stack([np.concatenate([[0], stops[:-1]]), stops], axis=1)
        return cls("".join(spelled), ids, spans, nats.astype(np.float64), unknown)

    @property
    def tokens(self) -> list[str]:
        """The characters of each token."""
        return [self.text[start:stop] for start, stop in self.spans.tolist()]
