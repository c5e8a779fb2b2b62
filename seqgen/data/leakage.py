"""Find text that is on both sides of a split, word for word: its loss says nothing about new text. No torch.

Pairs are compared whole, however short they are: their sources, and their sources with their targets. Of other text, a
line shorter than `WINDOW_CHARACTERS` is compared whole, a longer one by each of its windows of that length, so a
passage is found wherever it begins and ends. All are compared by hashes of 64 bits; if the validation text has too many
lines and windows, only hashes that are multiples of 2, 4, ... are, which samples both texts alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from seqgen.config import Config
from seqgen.data.cache.cached_text import Offsets, Span
from seqgen.sources.config import EXAMPLES, SIDES, Task
from seqgen.sources.lines import last_line_start
from seqgen.utils.hashing import BASE, Hashes, mix, powers

Weights: TypeAlias = npt.NDArray[np.float64]

WINDOW_CHARACTERS = 100
"""Longer than the fixed text between two numbers in a log line. With 32, 61% of 5,000 different log lines counted as
copies.
"""
MIN_DOCUMENT_BYTES = 32
"""Shorter documents (names, short phrases) recur by chance."""
MAX_HASHES = 1 << 16
"""Hashes that are searched for: their share is known to 0.4%, in some megabytes."""
NOTICE_SHARE = 0.25
"""Share of the validation text that is worth a notice. Ordinary text repeats itself: 0% of a book, 10% of Python code,
19% of some Python packages, 37% of docstrings with inherited ones; of a text that occurs twice it is 99%.
"""
PAIR_NOTICE_SHARE = 0.1
"""The same for pairs: by up to this share, exact match or accuracy is higher than on new pairs."""
JOINED_CHARACTERS = 1 << 16
"""Characters of short documents that are hashed at once."""
FILTER_BITS = 20
"""Bits of a hash that say whether it may be wanted, before it is looked up."""
_LF, _CR = 10, 13


class Leakage(Config):
    """How many of `looked_for` validation characters, in distinct lines and windows, are in the training text too.

    Both are estimates if the text was sampled.
    """

    found: int
    looked_for: int

    @property
    def share(self) -> float:
        """The share of the validation text that is in the training text too."""
        return self.found / max(1, self.looked_for)

    @property
    def is_notable(self) -> bool:
        """Whether it is more than ordinary text repeats itself."""
        return self.share >= NOTICE_SHARE

    def __str__(self) -> str:
        return (
            f"{self.share:.0%} of the validation text also occurs in the training text: remove repeated passages, or "
            "expect a higher loss on new text"
        )


class PairLeakage(Config):
    """How many of `pairs` validation pairs are in the training part too, and of how many the source is."""

    task: Task
    pairs: int
    whole: int
    sources: int

    @property
    def share(self) -> float:
        """The share of the validation pairs that are in the training part too, source and target."""
        return self.whole / max(1, self.pairs)

    @property
    def is_notable(self) -> bool:
        """Whether it makes figures clearly better than they are on new pairs.

        Sources that occur with another target do not count: a label may be the source of many texts.
        """
        return self.share >= PAIR_NOTICE_SHARE

    def __str__(self) -> str:
        example, (source, target) = EXAMPLES[self.task], SIDES[self.task]
        others = f", and {self.sources / max(1, self.pairs):.0%} with any" if self.sources > self.whole else ""
        return (
            f"{self.share:.0%} of the validation {source}s also occur in the training part with the same {target}"
            f"{others}: remove repeated {example}s, or expect worse figures on new {source}s"
        )


def find_pair_leakage(train: Span, valid: Span, task: Task) -> PairLeakage:
    """Compare the pairs of both parts, each of which has sources and targets in turn."""
    pairs = Counter(map(hash, _pairs(valid)))
    sources = Counter(map(hash, valid.every(2).texts()))
    found_pairs, found_sources = set[int](), set[int]()
    for pair in _pairs(train) if pairs else ():
        if (source := hash(pair[0])) in sources:
            found_sources.add(source)
            found_pairs |= {hash(pair)} & pairs.keys()
    return PairLeakage(
        task=task,
        pairs=pairs.total(),
        whole=sum(pairs[one] for one in found_pairs),
        sources=sum(sources[one] for one in found_sources),
    )


def _pairs(span: Span) -> Iterator[tuple[str, str]]:
    texts = span.texts()
    return zip(texts, texts, strict=True)


def find_leakage(train: Span, valid: Span) -> Leakage:
    """Compare the training text with the validation text, by whole short lines and by windows of long ones.

    Documents with fewer than `MIN_DOCUMENT_BYTES` are left out of both.
    """
    train, valid = (
        Span(span.text, span.ranges[span.ranges[:, 1] - span.ranges[:, 0] >= MIN_DOCUMENT_BYTES])
        for span in (train, valid)
    )
    wanted, weights, step = _wanted(valid)
    may_be_wanted = np.zeros(1 << FILTER_BITS, bool)
    may_be_wanted[_slots(wanted)] = True
    found = np.zeros(len(wanted), bool)
    for hashes, _ in _hashed_pieces(train, step) if len(wanted) else ():
        candidates = hashes[may_be_wanted[_slots(hashes)]]
        places = np.minimum(np.searchsorted(wanted, candidates), len(wanted) - 1)
        found[places[wanted[places] == candidates]] = True
    return Leakage(found=round(step * weights[found].sum()), looked_for=round(step * weights.sum()))


def _wanted(valid: Span) -> tuple[Hashes, Weights, int]:
    """Return distinct hashes of the validation text, sorted, their weights, and the step that sampled them."""
    wanted, weights, step = np.empty(0, np.uint64), np.empty(0), 1
    for hashes, more in _hashed_pieces(valid, 1):
        kept = hashes % np.uint64(step) == 0
        wanted, first = np.unique(np.concatenate([wanted, hashes[kept]]), return_index=True)
        weights = np.concatenate([weights, more[kept]])[first]
        while len(wanted) > MAX_HASHES:
            step *= 2
            kept = wanted % np.uint64(step) == 0
            wanted, weights = wanted[kept], weights[kept]
    return wanted, weights, step


def _slots(hashes: Hashes) -> Hashes:
    """Return the places of hashes in the filter: their upper bits, since the lower ones sample."""
    return hashes >> np.uint64(64 - FILTER_BITS)


def _hashed_pieces(span: Span, step: int) -> Iterator[tuple[Hashes, Weights]]:
    """Yield the hashes of lines and windows that are multiples of `step`, and their weights."""
    chunks = (chunk for _, chunk in span.chunks_split_at(lambda held: last_line_start(held) or len(held)))
    for chunk in _joined(chunks):
        codes = np.frombuffer(chunk.encode("utf-32-le"), np.uint32)
        starts, stops, weights = _lines_and_windows(codes)
        hashes = _hashes(codes, starts, stops)
        kept = hashes % np.uint64(step) == 0
        yield hashes[kept], weights[kept]


def _joined(chunks: Iterator[str]) -> Iterator[str]:
    """Yield chunks with line ends between them, several short ones at once: a call of numpy takes its time."""
    held, size = list[str](), 0
    for chunk in chunks:
        if held and size + len(chunk) > JOINED_CHARACTERS:
            yield "\n".join(held)
            held, size = [], 0
        held.append(chunk)
        size += len(chunk)
    if held:
        yield "\n".join(held)


def _lines_and_windows(codes: npt.NDArray[np.uint32]) -> tuple[Offsets, Offsets, Weights]:
    """Return where short lines and the windows of long ones begin and end, and the weight of each in characters.

    A short line weighs its characters. The windows of a long line of n characters share n equally.
    """
    ends = np.append(np.flatnonzero((codes == _LF) | (codes == _CR)), len(codes))  # CRLF ends two lines
    starts = np.append(0, ends[:-1] + 1)
    lengths = ends - starts
    short = (lengths > 0) & (lengths < WINDOW_CHARACTERS)
    long = lengths >= WINDOW_CHARACTERS
    windows = lengths[long] - WINDOW_CHARACTERS + 1
    # 0, 1, 2, ... within each line: how far its windows begin from its start
    within = np.arange(windows.sum()) - np.repeat(np.cumsum(windows) - windows, windows)
    begins = np.repeat(starts[long], windows) + within
    return (
        np.concatenate([starts[short], begins]),
        np.concatenate([ends[short], begins + WINDOW_CHARACTERS]),
        np.concatenate([lengths[short], np.repeat(lengths[long] / windows, windows)]),
    )


def _hashes(codes: npt.NDArray[np.uint32], starts: Offsets, stops: Offsets) -> Hashes:
    """Return the hash of each range of characters: the sum of mix(code) * base ** place, modulo 2 ** 64."""
    up, down = powers(len(codes))
    base = np.uint64(BASE)
    sums = np.append(np.uint64(0), np.cumsum(mix(codes + base) * up[: len(codes)]))
    return mix((sums[stops] - sums[starts]) * down[starts] + base)
