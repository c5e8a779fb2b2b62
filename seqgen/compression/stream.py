"""Code the tokens of documents with the probabilities of a predictor: the same loop on both sides.

A document is its tokens and, where the run models ends, id 0. The predictor reads every token after it was coded.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable

import numpy as np

from seqgen.compression.arithmetic import Frequencies, RangeDecoder, RangeEncoder, cumulative_frequencies
from seqgen.compression.spelling import Spelling
from seqgen.evaluation.predictor import Predictor
from seqgen.tokenizers.base import BOUNDARY, UNKNOWN_ID, Ids

PROGRESS_EVERY = 256
"""Tokens from one call of the progress function to the next."""


class Stream:
    """What a predictor says of each token of a stream, for a model with a limit of positions too.

    Args:
        predictor: has read nothing yet.
        positions: the most tokens that a document may have for the predictor; a longer one is cut, and the part after
            the cut begins as a document does.
        progress: receives the number of tokens so far.
    """

    def __init__(self, predictor: Predictor, positions: int | None, progress: Callable[[int], None]) -> None:
        self._predictor, self._positions, self._progress = predictor, positions, progress
        self._tokens = self._position = 0
        predictor.read(BOUNDARY)

    def frequencies(self) -> Frequencies:
        """Return the cumulative frequencies of the next token, [V]."""
        return cumulative_frequencies(self._predictor.log_probs())

    def read(self, token: int) -> None:
        """Take the token."""
        self._predictor.read(token)
        self._tokens += 1
        self._position = 0 if token == BOUNDARY else self._position + 1
        if self._position == self._positions:
            self._predictor.read(BOUNDARY)
            self._position = 0
        if self._tokens % PROGRESS_EVERY == 0:
            self._progress(self._tokens)


def encode_stream(stream: Stream, ids: Ids, pieces: Iterable[str], spelling: Spelling | None) -> bytes:
    """Return the code of tokens.

    Args:
        stream: has read nothing yet.
        ids: the tokens, int32 [N].
        pieces: what each `<unk>` among them is.
        spelling: the code of those pieces; None where the tokenizer has no `<unk>`.
    """
    coder, spelled = RangeEncoder(), iter(pieces)
    for token in ids.tolist():
        coder.encode_symbol(token, stream.frequencies())
        if spelling is not None and token == UNKNOWN_ID:
            for number, total in spelling.symbols(next(spelled)):
                coder.encode(number, 1, total)
        stream.read(token)
    return coder.finish()


def decode_stream(stream: Stream, code: bytes, count: int, spelling: Spelling | None) -> tuple[Ids, list[str]]:
    """Return the tokens of a code, int32 [count], and what each `<unk>` among them is.

    Raises:
        EOFError: the code has fewer tokens.
    """
    coder, ids, pieces = RangeDecoder(code), array("i"), []
    for _ in range(count):
        token = coder.decode_symbol(stream.frequencies())
        if spelling is not None and token == UNKNOWN_ID:
            pieces.append(spelling.read(coder.decode_number))
        stream.read(token)
        ids.append(token)
    return np.frombuffer(ids, np.int32), pieces
