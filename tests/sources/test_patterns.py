from __future__ import annotations

from pathlib import PurePath

import pytest

from seqgen.sources.config import Reading
from seqgen.sources.patterns import asked_for, selects

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
def test_patterns_select_and_exclude(glob, exclude, files):
    assert selected(glob=glob, exclude=exclude) == files


def test_a_brace_that_holds_no_choice_is_a_character():
    assert selects(Reading(glob="{a}.txt"), PurePath("{a}.txt"))


def test_patterns_are_shown_as_they_are_typed():
    assert asked_for(Reading(glob=("*.md", "*.py"), exclude="x")) == "--glob '*.md' --glob '*.py' --exclude 'x'"
