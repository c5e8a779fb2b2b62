from __future__ import annotations

from pathlib import PurePath

import pytest

from seqgen.sources.config import Reading
from seqgen.sources.patterns import pattern_options, selects, unselected_message

FILES = ["a.txt", "b.md", "c.py", "d.txt.gz", "src/a.txt", "src/test/e.txt", "node_modules/x/f.txt"]


def selected(**reading) -> list[str]:
    return [file for file in FILES if selects(Reading(**reading), PurePath(file))]


@pytest.mark.parametrize(
    ("glob", "exclude", "files"),
    [
        ("*.{md,py}", (), ["b.md", "c.py"]),
        (["*.md", "*.py"], (), ["b.md", "c.py"]),
        ("{a,b}.{txt,md}", (), ["a.txt", "b.md", "src/a.txt"]),
        ("*.{t{xt,ex},md}", "{src,node_modules}", ["a.txt", "b.md", "d.txt.gz"]),
        ("{src,lib}/**/*.txt", (), ["src/a.txt", "src/test/e.txt"]),
        ("*.txt", ["node_modules", "src/*"], ["a.txt", "d.txt.gz"]),
        ("*.txt", "test", ["a.txt", "d.txt.gz", "src/a.txt", "node_modules/x/f.txt"]),
        ("*", "*.txt", ["b.md", "c.py"]),
    ],
)
def test_selects_applies_glob_and_exclude(glob, exclude, files):
    assert selected(glob=glob, exclude=exclude) == files


def test_braces_without_a_comma_are_characters():
    assert selects(Reading(glob="{a}.txt"), PurePath("{a}.txt"))


def test_pattern_options_are_command_line_options():
    assert pattern_options(Reading(glob=("*.md", "*.py"), exclude="x")) == "--glob '*.md' --glob '*.py' --exclude 'x'"


def test_unselected_message_counts_the_suffixes_that_glob_does_not_match():
    paths = [PurePath(name) for name in (*FILES, "LICENSE")]

    message = unselected_message("folder", "file", paths, Reading(glob="*.{txt,py}", exclude="node_modules"))

    assert message == "2 files of folder do not match --glob '*.{txt,py}': 1 *.md, 1 without a suffix"
    assert unselected_message("folder", "file", paths, Reading(glob="*", exclude="*.md")) is None
    assert unselected_message("folder", "file", paths, Reading(glob="*.rst")) is None
