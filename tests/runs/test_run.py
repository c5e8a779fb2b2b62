from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from seqgen.runs.run import short_names


def test_short_names_are_those_of_directories_or_paths_where_two_are_alike():
    runs = [SimpleNamespace(path=Path(path)) for path in ("runs/a", "old/a", "runs/b")]

    assert short_names(runs) == ["runs/a", "old/a", "b"]
