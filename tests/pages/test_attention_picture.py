from __future__ import annotations

import struct
import sys

import numpy as np
import pytest

from seqgen.errors import ConfigError, SaveError
from seqgen.pages.attention import AttentionExample
from seqgen.pages.attention_picture import write_attention_picture, write_heads_picture

EXAMPLE = AttentionExample(["a", "b", "</script>"], ["데", "$x$"], [[1, 0, 0], [0, 0, 1]])


def test_write_attention_picture_draws_rows_for_target_tokens(tmp_path):
    image = pytest.importorskip("matplotlib.image")

    write_attention_picture(EXAMPLE, tmp_path / "map.png")

    blue = image.imread(tmp_path / "map.png")[..., :3]
    assert blue.shape == (267, 498, 3)  # 2 rows, 3 columns, 9 characters
    dark = np.abs(blue - np.array([8, 48, 107]) / 255).max(-1) < 0.01  # the color of 1
    rows = np.flatnonzero(dark.sum(1) > 20)
    upper, lower = np.array_split(rows, 2)
    left = np.flatnonzero(dark[upper[len(upper) // 2]]).min()
    right = np.flatnonzero(dark[lower[len(lower) // 2]]).min()
    assert left < right


@pytest.mark.slow
def test_write_attention_picture_writes_the_same_svg_each_time(tmp_path):
    pytest.importorskip("matplotlib")
    paths = [tmp_path / name for name in ("a.svg", "b.SVG")]

    for path in paths:
        write_attention_picture(AttentionExample(["a"], ["x"], [[1]], [0]), path)

    first, second = (path.read_text("utf-8") for path in paths)
    assert first == second
    assert "<svg" in first
    assert "<!-- * not in the vocabulary: the model reads &lt;unk&gt; -->" in first


@pytest.mark.slow
def test_write_heads_picture_has_a_map_for_each_head_of_each_layer(tmp_path):
    pytest.importorskip("matplotlib")
    weights = np.full((3, 2, 4), 0.25)
    examples = [AttentionExample([*"abcd"], [*"xy"], weights, name=f"layer {number}") for number in range(2)]

    write_heads_picture(examples, tmp_path / "maps.svg")

    drawn = (tmp_path / "maps.svg").read_text("utf-8")
    assert drawn.count("<image") == 6
    assert all(drawn.count(f"<!-- {name} -->") == 2 for name in ("head 0", "head 1", "head 2"))
    assert all(f"<!-- layer {number} -->" in drawn for number in range(2))


@pytest.mark.slow
def test_write_attention_picture_limits_the_size_of_the_picture(tmp_path):
    pytest.importorskip("matplotlib")
    example = AttentionExample(["a"] * 200, ["x"], np.full((1, 200), 0.005))

    write_attention_picture(example, tmp_path / "map.png")

    width, height = struct.unpack(">II", (tmp_path / "map.png").read_bytes()[16:24])
    assert (width, height) == (6000, 114)


@pytest.mark.slow
def test_write_attention_picture_writes_characters_that_no_font_has(tmp_path):
    """matplotlib warns about each missing character, and warnings fail here."""
    pytest.importorskip("matplotlib")

    write_attention_picture(
        AttentionExample(["\U0001fae8", "\ue000"], ["\U000e0100a"], [[0.5, 0.5]]), tmp_path / "map.png"
    )

    assert (tmp_path / "map.png").stat().st_size > 1000


def test_write_attention_picture_names_the_extra_if_matplotlib_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)

    with pytest.raises(ConfigError, match=r"seqgen\[plot\]"):
        write_attention_picture(EXAMPLE, tmp_path / "map.png")


def test_write_attention_picture_raises_save_error_if_the_folder_is_missing(tmp_path):
    pytest.importorskip("matplotlib")

    with pytest.raises(SaveError, match=r"missing.map\.png"):
        write_attention_picture(EXAMPLE, tmp_path / "missing" / "map.png")
