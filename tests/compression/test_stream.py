"""The loop over tokens, with predictors that change while they read."""

from __future__ import annotations

import math

import numpy as np
import pytest

from seqgen.compression.spelling import spelling_of
from seqgen.compression.stream import PROGRESS_EVERY, Stream, decode_stream, encode_stream
from seqgen.tokenizers.char import CharTokenizer

SPELLING = spelling_of(CharTokenizer("ab"))


class Counts:
    """Predict by how often each token was read since the last boundary, and 1 more; keep what was read."""

    def __init__(self, size=5):
        self.read_so_far = []
        self._size = size

    def log_probs(self):
        counts = np.ones(self._size)
        for token in reversed(self.read_so_far):
            if token == 0:
                break
            counts[token] += 1
        return np.log(counts / counts.sum())

    def read(self, token):
        self.read_so_far.append(token)


def cost(ids):
    """Return the bits of ids under `Counts`, predicted one after another."""
    predictor = Counts()
    predictor.read(0)
    bits = 0.0
    for token in ids:
        bits -= predictor.log_probs()[token] / math.log(2)
        predictor.read(token)
    return bits


def silent(_):
    pass


@pytest.mark.parametrize("positions", [None, 3])
def test_tokens_of_an_adaptive_predictor_come_back(positions):
    ids = np.array([2, 2, 3, 1, 2, 0, 3, 3, 1, 3, 3, 0, 0, 4] * 9, np.int32)
    pieces = ["c", "\U0001f642"] * 9
    written, read = Counts(), Counts()

    code = encode_stream(Stream(written, positions, silent), ids, pieces, SPELLING)
    decoded, spelled = decode_stream(Stream(read, positions, silent), code, len(ids), SPELLING)

    assert decoded.tolist() == ids.tolist()
    assert spelled == pieces
    assert read.read_so_far == written.read_so_far


def test_the_code_has_the_bits_of_the_predictions():
    ids = np.array([2, 2, 3, 4, 2, 0, 3, 3, 4, 3, 3, 0, 0, 4] * 9, np.int32)

    code = encode_stream(Stream(Counts(), None, silent), ids, [], None)

    assert cost(ids) - 8 < 8 * len(code) <= cost(ids) + 8.01


def test_a_document_longer_than_the_positions_is_cut_by_a_boundary():
    predictor = Counts()

    encode_stream(Stream(predictor, 3, silent), np.array([2, 2, 2, 2, 0, 2, 2, 2], np.int32), [], None)

    assert predictor.read_so_far == [0, 2, 2, 2, 0, 2, 0, 2, 2, 2, 0]


def test_progress_is_the_number_of_tokens():
    seen = []

    encode_stream(Stream(Counts(), None, seen.append), np.full(2 * PROGRESS_EVERY + 5, 2, np.int32), [], None)

    assert seen == [PROGRESS_EVERY, 2 * PROGRESS_EVERY]
