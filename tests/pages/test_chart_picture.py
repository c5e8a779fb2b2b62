from __future__ import annotations

import math
import struct
import xml.etree.ElementTree as ET

import pytest

from seqgen.errors import SaveError
from seqgen.pages.chart import Chart, Curve
from seqgen.pages.chart_picture import HEIGHT, WIDTH, write_picture
from seqgen.pages.picture import DOTS_PER_INCH

CHART = Chart(
    "100 % of $x$",
    "step",
    "bits",
    [
        Curve("_lstm $", [1, 2, 3], [1, math.nan, 0.1], [0.5, 0.5, 0], [2, 2, 2]),
        Curve("gru", [1, 3], [2, 1], dashed=True, color=0),
    ],
    log_y=True,
    x_marks={"$here$": 2},
)


@pytest.mark.slow
def test_write_picture_draws_charts_in_a_column(tmp_path):
    pytest.importorskip("matplotlib")

    for number in (1, 2):
        write_picture([CHART] * number, tmp_path / f"{number}.png")

    first, second = (struct.unpack(">II", (tmp_path / f"{number}.png").read_bytes()[16:24]) for number in (1, 2))
    assert first[0] == second[0] == WIDTH * DOTS_PER_INCH
    assert second[1] == 2 * first[1] > 2 * HEIGHT * DOTS_PER_INCH


def test_write_picture_writes_the_same_svg_again(tmp_path):
    pytest.importorskip("matplotlib")

    for name in ("a.svg", "b.SVG"):
        write_picture([CHART], tmp_path / name)

    first = (tmp_path / "a.svg").read_bytes()
    assert first == (tmp_path / "b.SVG").read_bytes()
    assert ET.fromstring(first).tag.endswith("svg")
    assert b"<dc:date>" not in first


def test_write_picture_raises_save_error_if_the_folder_is_missing(tmp_path):
    pytest.importorskip("matplotlib")

    with pytest.raises(SaveError, match=r"missing.chart\.svg"):
        write_picture([Chart("empty", "x", "y", [])], tmp_path / "missing" / "chart.svg")


@pytest.mark.slow
def test_write_picture_does_not_join_points(tmp_path):
    pytest.importorskip("matplotlib")
    x = [number * 9 % 41 / 40 for number in range(41)]
    charts = [Chart("units", "x", "y", [Curve("a", x, x[::-1], points=points)]) for points in (True, False)]

    for chart, name in zip(charts, ("points.svg", "line.svg"), strict=True):
        write_picture([chart], tmp_path / name)

    marks = [(tmp_path / name).read_text("utf-8").count("<use ") for name in ("points.svg", "line.svg")]
    lines = [(tmp_path / name).read_text("utf-8").count("\nL ") for name in ("points.svg", "line.svg")]
    assert marks[0] - marks[1] == 41 - 9  # every point, not every fifth
    assert lines[1] - lines[0] >= 40
