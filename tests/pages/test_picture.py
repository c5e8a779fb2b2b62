"""What is refused before a picture is drawn. That pictures are written is tested with what they show."""

from __future__ import annotations

import sys

import pytest

from seqgen.errors import ConfigError
from seqgen.pages.picture import check_picture


@pytest.mark.parametrize("name", ["chart", "chart.pdf", "chart.png.txt"])
def test_check_picture_refuses_other_endings(name, tmp_path):
    with pytest.raises(ConfigError, match=r"\.png or \.svg"):
        check_picture(tmp_path / name)


def test_check_picture_names_the_extra_if_matplotlib_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)

    with pytest.raises(ConfigError, match=r"seqgen\[plot\]"):
        check_picture(tmp_path / "chart.svg")
