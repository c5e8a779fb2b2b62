"""Compare what one text costs several models: intervals and tests by a bootstrap over blocks of the text. No torch.

The text is cut into cells, and the nats of each model are added up in each cell; cells are the same for every
tokenizer. A block is `BLOCK_CELLS` cells in a row. The circular block bootstrap (Politis and Romano 1992) draws as many
blocks as the text has, each from anywhere, and computes the bits per byte of what it drew, many times. Blocks keep
together what depends on its neighbors, which a bootstrap of single tokens would tear apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from seqgen.evaluation.token_scores import TokenScores
from seqgen.sources.source import LoadedDocuments
from seqgen.tokenizers.base import Tokenizer
from seqgen.tokenizers.normalization import combines_with_previous, normalize
from seqgen.utils.text import without_surrogates

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

BLOCK_CELLS = 10
"""Cells of a block."""
MOST_BLOCKS, LEAST_BLOCK_BYTES = 200, 500
"""The default length of a block: a 200th of the text, but at least 500 bytes."""
FEWEST_BLOCKS = 10
"""With fewer blocks, intervals would be far too narrow."""
REPLICATES = 10_000
CONFIDENCE = 0.95
SEED = 0
MOST_PERMUTATIONS = 20_000
"""Divisions of seeds into two groups that are all tried; of more, so many are drawn."""
_DRAWS = 1 << 20
"""Blocks drawn in one step."""


@dataclass(frozen=True)
class Difference:
    """By how many bits per byte the second of two models needs more than the first, on one text.

    It is a claim about these two models and this text, not about the methods that made them.
    """

    first: int
    second: int
    bits_per_byte: float
    low: float
    """Ends of the interval."""
    high: float
    p: float
    """How often a difference at least as large would be seen if the models were equally good on texts like this."""


@dataclass(frozen=True, eq=False)
class Resampled:
    """The bits per byte of M models on a text, and of R texts made of its blocks, the same ones for every model."""

    bits_per_byte: Floats
    """[M]."""
    replicates: Floats
    """[M, R]."""

    def interval(self, model: int) -> tuple[float, float]:
        """Return the ends of the interval of one model."""
        return _interval(self.replicates[model])

    @property
    def differences(self) -> list[Difference]:
        """The difference of every two models, paired: both are resampled by the same blocks."""
        return [self._difference(*pair) for pair in combinations(range(len(self.bits_per_byte)), 2)]

    def _difference(self, first: int, second: int) -> Difference:
        found = float(self.bits_per_byte[second] - self.bits_per_byte[first])
        resampled = self.replicates[second] - self.replicates[first]
        larger = int((np.abs(resampled - found) >= abs(found)).sum())
        return Difference(first, second, found, *_interval(resampled), (1 + larger) / (1 + len(resampled)))


def _interval(values: Floats) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def block_length(size: int) -> int:
    """Return how many bytes a block of a text of `size` bytes has by default."""
    return max(LEAST_BLOCK_BYTES, -(-size // MOST_BLOCKS))


def cut_cells(content: bytes, size: int) -> Integers:
    """Return where the cells of a text begin, and where the last one ends, in bytes: [N + 1].

    A cell has about `size` bytes. It begins where a character does that does not combine with the one before, so a text
    may be normalized cell by cell. Bytes that are not UTF-8 are cut anywhere.
    """
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return np.append(np.arange(0, len(content), size), len(content)).astype(np.int64)
    begins = _byte_offsets(text)
    edges = [0]
    for target in range(size, len(content), size):
        place = int(np.searchsorted(begins, target))
        while combines_with_previous(text[place : place + 1] or " "):
            place += 1
        if edges[-1] < begins[place] < len(content):
            edges.append(int(begins[place]))
    return np.array([*edges, len(content)], np.int64)


def nats_by_cell(
    scores: Sequence[TokenScores], documents: LoadedDocuments, tokenizer: Tokenizer, edges: Integers
) -> Floats:
    """Return what each cell costs, the spelling of `<unk>` included, in nats: [N].

    A token counts where its last character is, and an end where the bytes are that end the document.

    Args:
        scores: of each of `documents`.
        documents: the text, cut at `edges` as it is in its file.
        tokenizer: of the model that made the scores.
        edges: as of `cut_cells`.
    """
    sums = np.zeros(len(edges) - 1)
    begin = 0
    texts = map(without_surrogates, documents)
    for one, text, end_size in zip(scores, texts, documents.end_sizes, strict=True):
        end = begin + tokenizer.byte_length(text)
        first = int(np.searchsorted(edges, begin, side="right")) - 1
        inner = edges[first + 1 : int(np.searchsorted(edges, end))] - begin
        places = inner if tokenizer.text_encoding == "latin-1" else np.searchsorted(_byte_offsets(text), inner)
        pieces = [text[start:stop] for start, stop in zip([0, *places], [*places, len(text)], strict=True)]
        stops = np.cumsum([len(normalize(piece, tokenizer.normalization)) for piece in pieces])[:-1]
        start, stop = one.spans.T
        cells = first + np.searchsorted(stops, np.where(stop > start, stop - 1, start), side="right")
        if end_size and start[-1] == stop[-1]:
            cells[-1] = np.searchsorted(edges, end + end_size - 1, side="right") - 1
        sums += np.bincount(cells, one.nats + one.unk_cost, len(sums))
        begin = end + end_size
    return sums


def resample(nats: Floats, sizes: Integers, *, seed: int = SEED) -> Resampled | None:
    """Resample a text by blocks of `BLOCK_CELLS` cells; None if it has fewer than `FEWEST_BLOCKS` blocks.

    Args:
        nats: of each model and cell, [M, N].
        sizes: the bytes of each cell, [N].
        seed: of the blocks that are drawn.
    """
    blocks = round(len(sizes) / BLOCK_CELLS)
    if blocks < FEWEST_BLOCKS:
        return None
    whole = np.concatenate([nats, sizes[None]])
    around = np.concatenate([np.zeros((len(whole), 1)), whole, whole[:, : BLOCK_CELLS - 1]], axis=1).cumsum(axis=1)
    sums = around[:, BLOCK_CELLS:] - around[:, :-BLOCK_CELLS]  # of the block from each cell on
    draw = np.random.default_rng(seed)
    rows = max(_DRAWS // blocks, 1)
    parts = []
    for done in range(0, REPLICATES, rows):
        starts = draw.integers(0, len(sizes), (min(rows, REPLICATES - done), blocks))
        drawn = np.stack([of_one[starts].sum(axis=1) for of_one in sums])
        parts.append(drawn[:-1] / drawn[-1])
    replicates = np.concatenate(parts, axis=1) / math.log(2)
    return Resampled(nats.sum(axis=1) / sizes.sum() / math.log(2), replicates)


def permutation_p(first: Sequence[float], second: Sequence[float], *, seed: int = SEED) -> float:
    """Return how often the means of two groups would differ as much, if it did not matter which value is in which.

    All divisions of the values into groups of these sizes are tried, or of very many some.
    """
    values, size = np.array([*first, *second], np.float64), len(first)
    tries_all = math.comb(len(values), size) <= MOST_PERMUTATIONS
    if tries_all:
        chosen = np.array([*combinations(range(len(values)), size)])
    else:
        draw = np.random.default_rng(seed)
        chosen = np.array([draw.permutation(len(values))[:size] for _ in range(MOST_PERMUTATIONS)])
    sums = values[chosen].sum(axis=1)
    gaps = np.abs(sums / size - (values.sum() - sums) / len(second))
    found = abs(values[:size].mean() - values[size:].mean())
    larger = int((gaps >= found * (1 - 1e-9)).sum())
    return larger / len(chosen) if tries_all else (larger + 1) / (len(chosen) + 1)  # the division that was found, too


def least_permutation_p(first: int, second: int) -> float:
    """Return the least that `permutation_p` of groups of these sizes can be."""
    divisions = math.comb(first + second, first)
    if divisions > MOST_PERMUTATIONS:
        return 1 / (MOST_PERMUTATIONS + 1)
    return (2 if first == second else 1) / divisions


def _byte_offsets(text: str) -> Integers:
    """Return where each character of `text` begins in its UTF-8 bytes, and their number: [N + 1]."""
    codes = np.frombuffer(text.encode("utf-32-le"), "<u4")
    widths = 1 + (codes > 0x7F) + (codes > 0x7FF) + (codes > 0xFFFF)
    return np.concatenate([[0], np.cumsum(widths)]).astype(np.int64)
