"""What stands word for word on both sides of a split: a model that repeats it has not understood it. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from seqgen.data.encoding import regroup
from seqgen.data.stored_text import Portion
from seqgen.settings import Settings
from seqgen.wording import agreeing, counted

LINE = 32
"""Characters that a line must have to count: shorter ones come again in any text."""
MOST = 200_000
"""Withheld lines or documents that are looked for, which bounds the memory: some 20 MB."""


class Leakage(Settings):
    """Of `looked_for` different withheld lines or documents, how many stand in the training part too."""

    unit: Literal["line", "document"]
    found: int
    looked_for: int

    def __str__(self) -> str:
        of_length = f" of {LINE} characters or more" if self.unit == "line" else ""
        return (
            f"{self.found:,} of {counted(self.looked_for, f'withheld {self.unit}')}{of_length} "
            f"{agreeing(self.found, 'stands', 'stand')} word for word in the training part too: the validation "
            "figures are better than on new text"
        )


def find_leakage(train: Portion, valid: Portion) -> Leakage:
    """Compare what is learnt from with what is withheld: by document where each has several, whole; else by line."""
    by_document = all(len(one.ranges) > 1 and one.is_of_whole_documents for one in (train, valid))
    units = _documents if by_document else _lines
    wanted: set[int] = set()
    for unit in units(valid):
        wanted.add(unit)
        if len(wanted) >= MOST:
            break
    found: set[int] = set()
    for unit in units(train) if wanted else ():
        if unit in wanted:
            found.add(unit)
    return Leakage(unit="document" if by_document else "line", found=len(found), looked_for=len(wanted))


def _documents(portion: Portion) -> Iterator[int]:
    """A hash of each part, of 64 bits, good within this process."""
    hashes: list[int] = []
    latest = 0
    for number, chunk in portion.chunks():
        if number != latest:
            yield hash(tuple(hashes))
            hashes, latest = [], number
        hashes.append(hash(chunk))
    if hashes:
        yield hash(tuple(hashes))


def _lines(portion: Portion) -> Iterator[int]:
    """A hash of each line that is long enough."""
    for _, chunk in regroup(portion.chunks(), lambda held: held.rfind("\n") + 1 or len(held)):
        yield from _hashes(chunk.split("\n"))


def _hashes(lines: Iterable[str]) -> Iterator[int]:
    return (hash(line) for line in lines if len(line) >= LINE)
