from __future__ import annotations

import struct
import sys

import numpy as np
import pytest

from seqgen.errors import ConfigError, SaveError
from seqgen.pages.attention import AttentionExample
from seqgen.pages.attention_png import save_attention_png

EXAMPLE = AttentionExample(["a", "b", "</script>"], ["데", "$x$"], [[1, 0, 0], [0, 0, 1]])


def test_save_attention_png_draws_rows_for_target_tokens(tmp_path):
    image = pytest.importorskip("matplotlib.image")

    save_attention_png(EXAMPLE, tmp_path / "map.png")

    blue = image.imread(tmp_path / "map.png")[..., :3]
    assert blue.shape == (267, 498, 3)  # 2 rows, 3 columns, 9 characters
    dark = np.abs(blue - np.array([8, 48, 107]) / 255).max(-1) < 0.01  # the color of 1
    rows = np.flatnonzero(dark.sum(1) > 20)
    upper, lower = np.array_split(rows, 2)
    left = np.flatnonzero(dark[upper[len(upper) // 2]]).min()
    right = np.flatnonzero(dark[lower[len(lower) // 2]]).min()
    assert left < right


@pytest.mark.slow
def test_save_attention_png_limits_the_size_of_the_picture(tmp_path):
    pytest.importorskip("matplotlib")
    example = AttentionExample(["a"] * 200, ["x"], np.full((1, 200), 0.005))

    save_attention_png(example, tmp_path / "map.png")

    width, height = struct.unpack(">II", (tmp_path / "map.png").read_bytes()[16:24])
    assert (width, height) == (6000, 114)


@pytest.mark.slow
def test_save_attention_png_writes_characters_that_no_font_has(tmp_path):
    """matplotlib warns about each missing character, and warnings fail here."""
    pytest.importorskip("matplotlib")

    save_attention_png(AttentionExample(["\U0001fae8", "\ue000"], ["\U000e0100a"], [[0.5, 0.5]]), tmp_path / "map.png")

    assert (tmp_path / "map.png").stat().st_size > 1000


def test_save_attention_png_names_the_extra_if_matplotlib_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)

    with pytest.raises(ConfigError, match=r"seqgen\[plot\]"):
        save_attention_png(EXAMPLE, tmp_path / "map.png")


def test_save_attention_png_raises_save_error_if_the_folder_is_missing(tmp_path):
    pytest.importorskip("matplotlib")

    with pytest.raises(SaveError, match=r"missing.map\.png"):
        save_attention_png(EXAMPLE, tmp_path / "missing" / "map.png")
