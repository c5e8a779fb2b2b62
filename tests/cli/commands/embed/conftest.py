"""A file of vectors whose geometry is known."""

from __future__ import annotations

from pathlib import Path

import pytest

VECTORS = """8 3
king 2 2 3
queen 2 -2 3
man 0 2 1
woman 0 -2 1
왕 2 2 -3
여왕 2 -2 -3
[bold]x 0 0 -1
Seoul 1 0 0
"""


@pytest.fixture
def vectors(in_tmp: Path) -> Path:
    path = in_tmp / "vectors.txt"
    path.write_text(VECTORS, "utf-8")
    return path
