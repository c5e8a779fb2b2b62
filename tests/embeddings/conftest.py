"""A corpus of random words, by Zipf's law."""

from __future__ import annotations

import numpy as np
import pytest

from seqgen.embeddings.corpus import Vocabulary, WordCorpus


@pytest.fixture
def corpus():
    """Blocks of 40, 1, 25 and 34 of 60 words."""
    draw = np.random.default_rng(3)
    rows = np.minimum(draw.zipf(1.4, 100) - 1, 59).astype(np.int32)
    counts = (np.bincount(rows, minlength=60) + 1).tolist()
    return WordCorpus(Vocabulary([f"w{row}" for row in range(60)], counts), rows, np.array([0, 40, 41, 66, 100]))
