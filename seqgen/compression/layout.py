"""Cut a text into the documents of a run, and join them again to exactly the text.

Where a run's documents are lines or paragraphs, the text is cut at every line end, or at every two; unlike in reading,
lines and paragraphs may be empty here, and blank lines count. What ends the last document is kept apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from seqgen.sources.config import END_BYTES, Unit
from seqgen.sources.lines import LINE_END

_LINE_ENDS = ("\n", "\r\n", "\r")
LAYOUTS = len(_LINE_ENDS) * 3 * 3
"""The number of layouts."""


@dataclass(frozen=True)
class Layout:
    """How documents lie in a text: `apart` line ends between two of them, and `after` the last."""

    line_end: str
    apart: int
    after: int

    @classmethod
    def of(cls, text: str, unit: Unit) -> Self:
        """Return the layout of a text whose documents are files, lines or paragraphs."""
        apart = END_BYTES[unit]
        found = LINE_END.search(text) if apart else None
        line_end = "\n" if found is None else found[0]
        after = next(count for count in range(apart, -1, -1) if text.endswith(line_end * count))
        return cls(line_end, apart, after)

    def split(self, text: str) -> list[str]:
        """Return the documents of the text."""
        if not self.apart:
            return [text]
        return text[: len(text) - self.after * len(self.line_end)].split(self.line_end * self.apart)

    def join(self, documents: list[str]) -> str:
        """Return the text of its documents."""
        return (self.line_end * self.apart).join(documents) + self.line_end * self.after

    def to_byte(self) -> int:
        """Return the layout as a number below `LAYOUTS`."""
        return (_LINE_ENDS.index(self.line_end) * 3 + self.apart) * 3 + self.after

    @classmethod
    def from_byte(cls, number: int) -> Self:
        """Return the layout of a number that `to_byte` returned."""
        rest, after = divmod(number, 3)
        line_end, apart = divmod(rest, 3)
        return cls(_LINE_ENDS[line_end], apart, after)
