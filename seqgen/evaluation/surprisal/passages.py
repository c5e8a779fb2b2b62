"""Find the hardest passages of a text, of any length. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

THRESHOLD = 2.0
"""A passage is where tokens cost more than this many times the mean."""


@dataclass(frozen=True)
class Passage:
    """The tokens [start, stop), and the nats that they cost above the threshold."""

    start: int
    stop: int
    excess: float


def hardest_passages(
    nats: npt.NDArray[np.floating], count: int, stretches: npt.NDArray[np.integer] | None = None
) -> list[Passage]:
    """Return the disjoint passages whose tokens exceed the threshold by the most nats in sum, the hardest first.

    They are the maximal scoring subsequences of the nats of each token less the threshold (Ruzzo and Tompa 1999): none
    of them can be made longer or shorter to have a larger sum. The threshold is `THRESHOLD` times the mean.

    Args:
        nats: of every token, [N].
        count: how many passages to return at most.
        stretches: the number of the stretch of text that every token belongs to, [N]; a passage is in one of them. By
            default all tokens are one stretch.
    """
    if not len(nats):
        return []
    totals = np.concatenate([[0.0], np.cumsum(nats - THRESHOLD * nats.mean())])
    cuts = [] if stretches is None else (np.flatnonzero(np.diff(stretches)) + 1).tolist()
    found = [
        Passage(start + one.start, start + one.stop, one.excess)
        for start, stop in pairwise([0, *cuts, len(nats)])
        for one in _passages(totals[start : stop + 1].tolist())
    ]
    return sorted(found, key=lambda one: (-one.excess, one.start))[:count]


def _passages(totals: list[float]) -> list[Passage]:
    """Return the maximal scoring subsequences of the scores whose sums are `totals`, which begin before the first."""
    done: list[Passage] = []
    open_ones: list[
        tuple[int, int, int]
    ] = []  # start, stop, and which open one before it has a lower total at its start
    for place in np.flatnonzero(np.diff(totals) > 0).tolist():
        start, stop, before = place, place + 1, len(open_ones) - 1
        while True:
            while before >= 0 and totals[open_ones[before][0]] >= totals[start]:
                before = open_ones[before][2]
            if before < 0 or totals[open_ones[before][1]] >= totals[stop]:
                break
            start, earlier = open_ones[before][0], open_ones[before][2]
            del open_ones[before:]
            before = earlier
        if before < 0:  # nothing to the left can be joined to this one or a later one
            done += [_passage(totals, one) for one in open_ones]
            open_ones = []
        open_ones.append((start, stop, before))
    done += [_passage(totals, one) for one in open_ones]
    return done


def _passage(totals: list[float], found: tuple[int, int, int]) -> Passage:
    start, stop, _ = found
    return Passage(start, stop, totals[stop] - totals[start])
