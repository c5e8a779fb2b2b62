"""Split a text into training and validation parts.

A held-out tail is another scene, not a sample: withholding the last 5% of a play before its last tenth costs 0.15 nats
on that tenth, withholding 5% in 20 blocks spread over the text costs 0.01. So such blocks are the default.

Where documents end by themselves, whole documents are withheld instead, one of each group of neighbors: so every part
of a sorted list is in both parts in the same share, and the choice does not depend on the seed of training.

The text is cut at document starts and at block edges. Each piece is one document to the model: it starts from a fresh
state. It has an end if it has that of its document: a block that was cut out has none.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqgen.data.cache.cached_text import CachedText, Offsets, Span
from seqgen.data.config import DataConfig, SplitRule
from seqgen.errors import ConfigError, TextError
from seqgen.sources.config import EXAMPLES
from seqgen.sources.lines import next_line_start
from seqgen.utils.text import plural

BLOCKS = 20
MIN_DOCUMENTS = 20
"""With fewer documents, `auto` withholds blocks."""
MIN_PAIRS = 20
"""With fewer pairs, none are withheld."""
MIN_CHARACTERS = 200
"""A shorter validation text would measure nothing."""
DEFAULT_SHARE = 0.05
MAX_SHARE_OF_SHORT_TEXT = 0.2
"""The largest share of a short text that is withheld to reach `MIN_CHARACTERS`, unless the user sets a share."""
LONGER_DOCUMENTS = 1.2
"""How much more than `MIN_CHARACTERS` of documents is withheld of a short text: those withheld may be short ones."""
MAX_CHARACTERS = 1_000_000
"""Characters withheld in blocks, or by `auto`, unless a share is asked for: enough to compare models, and soon
evaluated."""
MAX_PAIRS = 2_000
"""Pairs withheld unless a share is asked for, for the same reason: the standard error of a share of 2,000 is at most
1.1 percentage points."""


@dataclass(frozen=True)
class Split:
    """The training and the validation text; each range is a document to the model."""

    train: Span
    valid: Span
    rule: SplitRule

    @property
    def has_ends(self) -> bool:
        """Whether documents end by themselves: so it is in the training text, which the model learns."""
        return self.train.text.manifest.has_ends

    def ends(self, span: Span) -> npt.NDArray[np.bool_]:
        """Return which ranges of one of the parts have an end, bool [N]."""
        return span.ends() if self.has_ends else np.zeros(len(span.ranges), dtype=bool)

    def end_bytes(self, span: Span) -> npt.NDArray[np.int64]:
        """Return how many bytes end each range of one of the parts in its file, int64 [N]."""
        return span.end_bytes() if self.has_ends else np.zeros(len(span.ranges), dtype=np.int64)


def split_text(text: CachedText, config: DataConfig, valid: CachedText | None = None) -> Split:
    """Split `text` as `config` says; with a validation text, `text` stays whole.

    Raises:
        TextError: the validation part would be too short to measure anything; the message has the arithmetic.
    """
    if config.valid_split == "none":
        split = _split_at(text, [], "none")
        return split if valid is None else Split(split.train, Span.whole(valid), "none")
    if config.has_pairs:
        return _split_pairs(text, config)
    if config.valid_split == "auto":
        return _split_documents(text, config) or split_text(text, config.model_copy(update={"valid_split": "blocks"}))
    if config.valid_split in {"document", "file"}:
        split = _split_at(text, _whole_units(text, config), config.valid_split)
        _check_length(split.valid, config)
        return split
    characters = text.manifest.characters
    withheld = _withheld_characters(characters, config)
    if config.valid_split == "tail":
        start = _line_start(text, characters - withheld, withheld // 2)
        return _split_at(text, [(start, text.manifest.bytes)], "tail")
    blocks = min(BLOCKS, withheld // MIN_CHARACTERS)
    size = withheld // blocks
    starts = [characters * (2 * block + 1) // (2 * blocks) - size // 2 for block in range(blocks)]
    edges = [(_line_start(text, start, size // 2), _line_start(text, start + size, size // 2)) for start in starts]
    return _split_at(text, edges, "blocks")


def _split_documents(text: CachedText, config: DataConfig) -> Split | None:
    """Return the split that withholds whole documents by default, or None where blocks are better."""
    documents, characters = text.manifest.documents, text.manifest.characters
    if not text.manifest.has_ends or documents < MIN_DOCUMENTS:
        return None
    share = config.valid_share or DEFAULT_SHARE
    if config.valid_share is None:
        if characters * share < MIN_CHARACTERS <= characters * MAX_SHARE_OF_SHORT_TEXT:
            share = MIN_CHARACTERS * LONGER_DOCUMENTS / characters
        share = min(share, MAX_CHARACTERS / characters)
    chosen = _one_of_each_group(text.documents, share)
    split = _split_at(text, chosen, "document")
    wanted = share * text.manifest.bytes
    longest = max(stop - start for start, stop in chosen)
    if _characters(split.valid) < MIN_CHARACTERS or longest > wanted or split.valid.bytes > 2 * wanted:
        return None
    return split


def _split_pairs(text: CachedText, config: DataConfig) -> Split:
    """Withhold whole pairs, one of each group of neighbors in the order in which they are stored."""
    example = EXAMPLES[config.task]
    if config.valid_split not in {"auto", "document"}:
        raise ConfigError(
            f"valid_split: --task {config.task} withholds whole {example}s, and not {config.valid_split}; leave it out"
        )
    edges = text.documents[::2]
    if len(edges) - 1 < MIN_PAIRS:
        raise TextError(
            f"the text has {plural(len(edges) - 1, example)}, too few to withhold some of them (at least {MIN_PAIRS}); "
            "train on all of them with --valid-split none, or name a validation file with --valid FILE"
        )
    most = min(MAX_CHARACTERS / text.manifest.characters, MAX_PAIRS / (len(edges) - 1))
    return _split_at(text, _one_of_each_group(edges, config.valid_share or min(DEFAULT_SHARE, most)), "document")


def _withheld_characters(characters: int, config: DataConfig) -> int:
    """Return how many of a text's characters a split by characters withholds."""
    withheld = round(characters * (config.valid_share or DEFAULT_SHARE))
    if config.valid_share is None:
        if withheld < MIN_CHARACTERS <= characters * MAX_SHARE_OF_SHORT_TEXT:
            return MIN_CHARACTERS
        if config.valid_split == "blocks":
            withheld = min(withheld, MAX_CHARACTERS)
    if withheld < MIN_CHARACTERS:
        raise TextError(
            f"{100 * (config.valid_share or DEFAULT_SHARE):g}% of {plural(characters, 'character')} is {withheld}, too "
            f"few to validate on (at least {MIN_CHARACTERS}); train on all of it with --valid-split none, or name a "
            "validation text with --valid FILE"
        )
    return withheld


def share_notice(config: DataConfig, rule: SplitRule, withheld: int, characters: int) -> str | None:
    """Return a notice if more than twice or less than half the wanted share is withheld, else None.

    Args:
        config: with the share that was wanted.
        rule: of the split.
        withheld: characters that are withheld.
        characters: of the whole text.
    """
    if config.valid is not None or rule == "none" or config.has_pairs:  # the share of pairs is exact
        return None
    wanted, share = config.valid_share or DEFAULT_SHARE, withheld / characters
    by_size = rule in {"blocks", "tail"} or config.valid_split == "auto"
    if wanted / 2 <= share <= wanted * 2 or (by_size and share < wanted):  # of a long text less is enough
        return None
    short = rule in {"blocks", "tail"} or (by_size and characters * wanted < MIN_CHARACTERS)
    reason = (
        f"less than {MIN_CHARACTERS} characters would say nothing; --valid-split none trains on all of it"
        if short
        else f"{rule}s are withheld whole, however long; --valid-split blocks goes by characters"
    )
    return f"{100 * share:.3g}% of the text is withheld, not {100 * wanted:g}%: {reason}"


def _line_start(text: CachedText, position: int, reach: int) -> int:
    """Return the byte offset of the first line or document that starts within `reach` characters from `position` on.

    If none does, return that of `position` itself.
    """
    at = text.byte_offset(position)
    documents = text.documents
    following = int(documents[np.searchsorted(documents, at)])
    # Before `position` only a line end matters; after `reach`, only the LF of a CRLF.
    seen = text.read(at, text.byte_offset(min(position + reach + 1, text.manifest.characters)))
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


def _whole_units(text: CachedText, config: DataConfig) -> list[tuple[int, int]]:
    """Choose the documents or files to withhold."""
    ends = text.documents
    if config.valid_split == "file":
        counts = np.cumsum([0, *(files for source in text.manifest.sources for files in source.files)])
        ends = ends[np.unique(counts)]
    units = len(ends) - 1
    if units < 2:
        raise TextError(
            f"there is 1 {config.valid_split}, so none can be withheld whole; use --valid-split blocks, or name a "
            "validation text with --valid FILE"
        )
    return _one_of_each_group(ends, config.valid_share or DEFAULT_SHARE)


def _one_of_each_group(edges: Offsets, share: float) -> list[tuple[int, int]]:
    """Choose ranges between neighboring edges: to choose n, cut them into n equal groups and take one of each.

    Its place in the group is drawn, always the same: at a fixed place, all that is chosen of lines that alternate
    between two labels would have the same label.
    """
    units = len(edges) - 1
    withheld = max(1, round(units * share))
    groups = np.arange(withheld)
    begins, ends = units * groups // withheld, units * (groups + 1) // withheld
    drawn = random.Random(0)  # noqa: S311 (not for secrets; the same numbers in every version of Python)
    places = np.array([drawn.random() for _ in groups])
    chosen = begins + (places * (ends - begins)).astype(np.int64)
    return list(zip(edges[chosen].tolist(), edges[chosen + 1].tolist(), strict=True))


def _characters(valid: Span) -> int:
    """Return how many characters a part has; of a long one, at least how many."""
    if valid.bytes >= 4 * MIN_CHARACTERS:  # a character has one to four bytes
        return valid.bytes // 4
    return sum(map(len, valid.documents()))


def _check_length(valid: Span, config: DataConfig) -> None:
    """Refuse whole documents or files that have too few characters to validate on."""
    characters = _characters(valid)
    if characters < MIN_CHARACTERS:
        raise TextError(
            f"the {config.valid_split}s withheld have {plural(characters, 'character')}, too few to validate on (at "
            f"least {MIN_CHARACTERS}); use --valid-split blocks, or name a validation text with --valid FILE"
        )


def _split_at(text: CachedText, blocks: Sequence[tuple[int, int]], rule: SplitRule) -> Split:
    """Cut the text at documents and at both ends of each block, and withhold what is in a block."""
    edges = np.array([edge for block in blocks for edge in block], dtype=np.int64)
    cuts = np.union1d(text.documents, edges)
    ranges = np.stack([cuts[:-1], cuts[1:]], axis=1)
    inside = np.searchsorted(edges, ranges[:, 0], side="right") % 2 == 1  # after a start, before its stop
    return Split(Span(text, ranges[~inside]), Span(text, ranges[inside]), rule)
