"""Three pairs of different lengths, and a batch of them."""

from __future__ import annotations

import numpy as np

from seqgen.data.batches import Batch
from seqgen.data.pairs import Pairs, Sequences

SOURCES = [[3, 1, 4, 1, 5], [9, 2], [6, 5, 3, 5, 8, 9, 7]]
TARGETS = [[2, 7], [1, 8, 2, 8], [4]]


def batch() -> Batch:
    """Return the pairs as one batch."""
    return Pairs(*(Sequences.of([np.array(one, np.int32) for one in side]) for side in (SOURCES, TARGETS))).batch()
