"""Which files of a folder, or members of an archive, are its texts: `--glob` and `--exclude`."""

from __future__ import annotations

import fnmatch
import functools
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import PurePath

from seqgen.sources.compression import SUFFIXES
from seqgen.sources.config import Reading


def selects(reading: Reading, path: PurePath) -> bool:
    """Whether a file at this path within its folder or archive is a text."""
    return any(_fits(path, pattern) for pattern in reading.glob) and not any(
        _excludes(path, pattern) for pattern in reading.exclude
    )


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is passed over; what leads to a folder above is no name."""
    return name.startswith(".") and name not in {".", ".."}


def asked_for(reading: Reading) -> str:
    """The patterns as options, for a message."""
    options = [("--glob", pattern) for pattern in reading.glob]
    options += [("--exclude", pattern) for pattern in reading.exclude]
    return " ".join(f"{name} {pattern!r}" for name, pattern in options)


def summary(paths: Iterable[PurePath]) -> str:
    """What there is where nothing fits: the three most frequent suffixes; empty where there is nothing."""
    suffixes = Counter(path.suffix for path in paths).most_common(3)
    return ", ".join(f"{count:,} *{suffix}" for suffix, count in suffixes)


def _excludes(path: PurePath, pattern: str) -> bool:
    """As `_fits`; a pattern without a slash leaves out a folder of that name with all that is in it, too."""
    folders = () if "/" in pattern else path.parts[:-1]
    return _fits(path, pattern) or any(_fits(PurePath(folder), pattern) for folder in folders)


def _fits(path: PurePath, pattern: str) -> bool:
    """A name alone, or with a slash in the pattern the whole path; a suffix of compression counts for nothing."""
    shown = path.as_posix() if "/" in pattern else path.name
    plain = shown.removesuffix(path.suffix) if path.suffix.lower() in SUFFIXES else shown
    return any(fits.fullmatch(shown) or fits.fullmatch(plain) for fits in _compiled(pattern))


@functools.lru_cache
def _compiled(pattern: str) -> Sequence[re.Pattern[str]]:
    r"""As fnmatch has it, where a star reaches over slashes; `**/` is any folders, or none; `{a,b}` is either."""
    return [_compiled_one(one) for one in _expanded(pattern)]


def _compiled_one(pattern: str) -> re.Pattern[str]:
    pieces = re.split(r"(?:^|(?<=/))(?:\*\*/)+", pattern)
    # fnmatch ends each piece with the end of the text, by two characters, which only the last may mean.
    return re.compile("(?s:.*/)?".join(fnmatch.translate(piece)[:-2] for piece in pieces))


def _expanded(pattern: str) -> list[str]:
    """The patterns that one with braces stands for; the innermost braces come first, so they may be nested."""
    braces = re.search(r"\{([^{}]*,[^{}]*)\}", pattern)
    if braces is None:
        return [pattern]
    before, after = pattern[: braces.start()], pattern[braces.end() :]
    return [one for choice in braces[1].split(",") for one in _expanded(f"{before}{choice}{after}")]
