"""Where a text is cut into training and validation parts.

A held-out tail is another scene, not a sample: withholding the last 5% of a play before its last tenth costs 0.15 nats
on that tenth, withholding 5% in 20 spread blocks costs 0.01. So blocks spread evenly are the default.

Every part is a document to the model: no part reaches from one document into the next, or across a seam.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seqgen.data.cache.cached_text import CachedText, Span
from seqgen.data.config import DataConfig
from seqgen.errors import TextError
from seqgen.sources.lines import next_line_start
from seqgen.utils.text import plural

BLOCKS = 20
MINIMUM = 200  # characters under which a withheld part would say nothing
SHARE = 0.05
LARGEST_SHARE = 0.2
"""Of a short text, what is withheld to have `MINIMUM` characters, unless a share is asked for."""
MOST = 1_000_000
"""Characters in blocks that are withheld unless a share is asked for: enough to tell models apart, soon evaluated."""


@dataclass(frozen=True)
class Split:
    """What is learnt from, and what is withheld; each range is a part."""

    train: Span
    valid: Span


def split_text(text: CachedText, config: DataConfig, valid: CachedText | None = None) -> Split:
    """Cut `text` as `config` says; with a text to validate on, that is what is withheld, and `text` stays whole.

    Raises:
        TextError: the validation part would be too short to measure anything; the message has the arithmetic.
    """
    if config.valid_split == "none":
        split = _parts(text, [])
        return split if valid is None else Split(split.train, Span.whole(valid))
    if config.valid_split in {"document", "file"}:
        split = _parts(text, _whole_ones(text, config))
        _check_whole_ones(split.valid, config)
        return split
    characters = text.manifest.characters
    withheld = _withheld(characters, config)
    if config.valid_split == "tail":
        return _parts(text, [(_line_start(text, characters - withheld, withheld // 2), text.manifest.bytes)])
    blocks = min(BLOCKS, withheld // MINIMUM)
    size = withheld // blocks
    starts = [characters * (2 * block + 1) // (2 * blocks) - size // 2 for block in range(blocks)]
    return _parts(
        text, [(_line_start(text, start, size // 2), _line_start(text, start + size, size // 2)) for start in starts]
    )


def _withheld(characters: int, config: DataConfig) -> int:
    """How many of a text's characters a split by characters withholds."""
    withheld = round(characters * (config.valid_share or SHARE))
    if config.valid_share is None:
        if withheld < MINIMUM <= characters * LARGEST_SHARE:
            return MINIMUM
        if config.valid_split == "blocks":
            withheld = min(withheld, MOST)
    if withheld < MINIMUM:
        raise TextError(
            f"{100 * (config.valid_share or SHARE):g}% of {plural(characters, 'character')} is {withheld}, too few "
            f"to validate on (at least {MINIMUM}); train on all of it with --valid-split none, or name a validation "
            "text with --valid FILE"
        )
    return withheld


def share_notice(config: DataConfig, withheld: int, characters: int) -> str | None:
    """What to say where more than twice or less than half the share that was wanted is withheld; None elsewhere.

    Args:
        config: with the share that was wanted.
        withheld: characters that are.
        characters: of the whole text.
    """
    if config.valid is not None or config.valid_split == "none":
        return None
    wanted, share = config.valid_share or SHARE, withheld / characters
    by_size = config.valid_split in {"blocks", "tail"}
    if wanted / 2 <= share <= wanted * 2 or (by_size and share < wanted):  # of a long text less is enough
        return None
    reason = (
        f"less than {MINIMUM} characters would say nothing; --valid-split none learns from all of it"
        if by_size
        else f"{config.valid_split}s are withheld whole, however long; --valid-split spread goes by characters"
    )
    return f"{100 * share:.3g}% of the text is withheld, not {100 * wanted:g}%: {reason}"


def _line_start(text: CachedText, position: int, reach: int) -> int:
    """The byte offset of the first line or document that starts within `reach` characters from `position` on, or of
    `position` itself where none does.
    """
    at = text.byte_of(position)
    documents = text.documents
    following = int(documents[np.searchsorted(documents, at)])
    # Of what is before `position` only a line end matters; behind `reach`, only the LF of a CRLF.
    seen = text.read(at, text.byte_of(min(position + reach + 1, text.manifest.characters)))
    before, within = text.bytes_at(at - 1, 1), seen[:reach]
    if following == at or before == b"\n" or (before == b"\r" and not seen.startswith("\n")):
        return at
    line = next_line_start(within)
    if line == reach and seen.endswith("\r\n"):
        line += 1
    starts = [] if line is None else [at + len(seen[:line].encode())]
    if following <= at + len(within.encode()):
        starts.append(following)
    return min(starts, default=at)


def _whole_ones(text: CachedText, config: DataConfig) -> list[tuple[int, int]]:
    """Documents or files spread evenly: of n withheld, the middle ones of n equal stretches."""
    ends = text.documents
    if config.valid_split == "file":
        counts = np.cumsum([0, *(files for source in text.manifest.sources for files in source.files)])
        ends = ends[np.unique(counts)]
    there = len(ends) - 1
    if there < 2:
        raise TextError(
            f"there is 1 {config.valid_split}, so none can be withheld whole; use --valid-split spread, or name a "
            "validation text with --valid FILE"
        )
    share = config.valid_share or SHARE
    withheld = max(1, round(there * share))
    chosen = [there * (2 * number + 1) // (2 * withheld) for number in range(withheld)]
    return [(int(ends[one]), int(ends[one + 1])) for one in chosen]


def _check_whole_ones(valid: Span, config: DataConfig) -> None:
    """Refuse whole documents or files that have too few characters to validate on."""
    if valid.bytes >= 4 * MINIMUM:  # of one to four bytes each
        return
    characters = sum(map(len, valid.documents()))
    if characters < MINIMUM:
        raise TextError(
            f"the {config.valid_split}s withheld have {plural(characters, 'character')}, too few to validate on (at "
            f"least {MINIMUM}); use --valid-split spread, or name a validation text with --valid FILE"
        )


def _parts(text: CachedText, blocks: Sequence[tuple[int, int]]) -> Split:
    """The text cut at documents and at both ends of each block; what is in a block is withheld."""
    edges = np.array([edge for block in blocks for edge in block], dtype=np.int64)
    cuts = np.union1d(text.documents, edges)
    ranges = np.stack([cuts[:-1], cuts[1:]], axis=1)
    inside = np.searchsorted(edges, ranges[:, 0], side="right") % 2 == 1  # after a start, before its stop
    return Split(Span(text, ranges[~inside]), Span(text, ranges[inside]))
