"""A document in blocks of about a million characters: whole lines, with the numbers that say where something stands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from seqgen.sources.lines import last_line_start, split_lines

BLOCK = 1 << 20
_LF, _CR = 10, 13


@dataclass(frozen=True, order=True)
class Place:
    """Where something stands: the document's name and the line, from 1, that an editor shows it in."""

    document: str
    line: int


@dataclass(frozen=True)
class Block:
    """Whole lines of a document, or a piece of a line that is longer than a block."""

    text: str
    document: str
    lines_before: int

    @cached_property
    def codes(self) -> npt.NDArray[np.int64]:
        """Its code points, [N]."""
        encoded = self.text.encode("utf-32-le", "surrogatepass")
        return np.frombuffer(encoded, np.uint32).astype(np.int64)

    @cached_property
    def line_ends(self) -> npt.NDArray[np.int64]:
        r"""Where the ends of its lines begin: each `\n`, `\r\n`, and `\r` alone."""
        feeds, returns = self.codes == _LF, self.codes == _CR
        feeds[1:] &= ~returns[:-1]
        return np.flatnonzero(feeds | returns)

    @cached_property
    def lines(self) -> list[str]:
        """Its lines, without their ends; the last is empty where the block ends with a line."""
        return split_lines(self.text)

    def place_of(self, position: int) -> Place:
        """The place of the character at `position`."""
        return self.place_of_line(int(np.searchsorted(self.line_ends, position)))

    def place_of_line(self, index: int) -> Place:
        """The place of the block's line `index`, from 0."""
        return Place(self.document, self.lines_before + index + 1)


def blocks_of(document: str, chunks: Iterable[str], size: int = BLOCK) -> Iterator[Block]:
    r"""The document called `document`, which comes in `chunks` of any length, in blocks of at most twice `size`.

    A block ends after a line end; in a line longer than a block after a space, and where there is none anywhere, but
    never within a `\r\n`.
    """
    held, lines = "", 0
    for chunk in chunks:
        for start in range(0, len(chunk), size):
            held += chunk[start : start + size]
            while len(held) >= size:
                cut = last_line_start(held) or held.rfind(" ") + 1 or len(held.removesuffix("\r"))
                block = Block(held[:cut], document, lines)
                yield block
                lines += len(block.line_ends)
                held = held[cut:]
    if held:
        yield Block(held, document, lines)
