"""Select the files of a folder or the members of an archive: `--glob` and `--exclude`."""

from __future__ import annotations

import fnmatch
import functools
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import PurePath

from seqgen.sources.compression import SUFFIXES
from seqgen.sources.config import Reading
from seqgen.utils.text import plural, singular_or_plural


def selects(reading: Reading, path: PurePath) -> bool:
    """Return whether the patterns select a file at this path in its folder or archive."""
    return _matches_glob(reading, path) and not _is_excluded(reading, path)


def _matches_glob(reading: Reading, path: PurePath) -> bool:
    return any(_matches(path, pattern) for pattern in reading.glob)


def _is_excluded(reading: Reading, path: PurePath) -> bool:
    """Return whether a pattern excludes a file; without a slash it also excludes the folders of that name."""
    return any(
        _matches(path, pattern)
        or ("/" not in pattern and any(_matches(PurePath(folder), pattern) for folder in path.parts[:-1]))
        for pattern in reading.exclude
    )


def is_hidden(name: str) -> bool:
    """Return whether a file or folder of this name is hidden."""
    return name.startswith(".") and name not in {".", ".."}


def pattern_options(reading: Reading) -> str:
    """Return the patterns as command-line options, for a message."""
    options = [("--glob", pattern) for pattern in reading.glob]
    options += [("--exclude", pattern) for pattern in reading.exclude]
    return " ".join(f"{name} {pattern!r}" for name, pattern in options)


def suffix_counts(paths: Iterable[PurePath]) -> str:
    """Return the three most frequent suffixes of paths with their counts; empty without paths."""
    suffixes = Counter(path.suffix for path in paths).most_common(3)
    return ", ".join(f"{count:,} *{suffix}" if suffix else f"{count:,} without a suffix" for suffix, count in suffixes)


def unselected_message(name: str, kind: str, paths: Iterable[PurePath], reading: Reading) -> str | None:
    """Return a sentence on the files that neither `--glob` nor `--exclude` matches.

    It is None if there are none, and if no file is selected at all, which is an error.

    Args:
        name: the folder or archive.
        kind: what it consists of, in the singular.
        paths: its files that are not hidden, relative to it.
        reading: the patterns.
    """
    paths = [path for path in paths if not _is_excluded(reading, path)]
    others = [path for path in paths if not _matches_glob(reading, path)]
    if len(others) in {0, len(paths)}:
        return None
    patterns = " ".join(f"--glob {pattern!r}" for pattern in reading.glob)
    verb = singular_or_plural(len(others), "does", "do")
    return f"{plural(len(others), kind)} of {name} {verb} not match {patterns}: {suffix_counts(others)}"


def _matches(path: PurePath, pattern: str) -> bool:
    """Match the name, or with a slash in the pattern the whole path; a suffix of compression is optional."""
    shown = path.as_posix() if "/" in pattern else path.name
    plain = shown.removesuffix(path.suffix) if path.suffix.lower() in SUFFIXES else shown
    return any(one.fullmatch(shown) or one.fullmatch(plain) for one in _compiled(pattern))


@functools.lru_cache
def _compiled(pattern: str) -> Sequence[re.Pattern[str]]:
    r"""Compile a pattern as fnmatch does, where `*` matches slashes too; `**/` is any folders, `{a,b}` either."""
    return [_compiled_one(one) for one in _expanded(pattern)]


def _compiled_one(pattern: str) -> re.Pattern[str]:
    pieces = re.split(r"(?:^|(?<=/))(?:\*\*/)+", pattern)
    # fnmatch ends each piece with two characters for the end of the text, which is the end of the last piece only.
    return re.compile("(?s:.*/)?".join(fnmatch.translate(piece)[:-2] for piece in pieces))


def _expanded(pattern: str) -> list[str]:
    """Expand the braces of a pattern, the innermost first, so that they may be nested."""
    braces = re.search(r"\{([^{}]*,[^{}]*)\}", pattern)
    if braces is None:
        return [pattern]
    before, after = pattern[: braces.start()], pattern[braces.end() :]
    return [one for choice in braces[1].split(",") for one in _expanded(f"{before}{choice}{after}")]
