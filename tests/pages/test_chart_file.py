"""Charts are written as a page or as a picture, by the ending of the file's name."""

from __future__ import annotations

import pytest

from seqgen.errors import ConfigError
from seqgen.pages.chart import Chart, Curve, chart_page
from seqgen.pages.chart_file import write_charts

CHARTS = [Chart("Loss", "step", "nats", [Curve("a", [1, 2], [2, 1])])]


@pytest.mark.parametrize("name", ["charts.html", "charts.HTML"])
def test_html_is_a_page_with_its_title(tmp_path, name):
    write_charts(CHARTS, "Two runs", tmp_path / name)

    assert (tmp_path / name).read_text("utf-8") == chart_page(CHARTS, "Two runs")


@pytest.mark.slow  # matplotlib takes a second to import
def test_other_names_are_pictures(tmp_path):
    pytest.importorskip("matplotlib")

    write_charts(CHARTS, "Two runs", tmp_path / "charts.svg")

    assert (tmp_path / "charts.svg").read_bytes().startswith(b"<?xml")


def test_other_endings_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"charts\.pdf"):
        write_charts(CHARTS, "Two runs", tmp_path / "charts.pdf")
