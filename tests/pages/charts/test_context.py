from __future__ import annotations

import numpy as np
import pytest

from seqgen.inspection.context import ContextLosses
from seqgen.pages.chart import chart_page
from seqgen.pages.charts.context import context_charts


def losses(name: str, seed: int) -> ContextLosses:
    """Return losses of ten places."""
    rng = np.random.default_rng(seed)
    lengths, distances = (1, 2, 4, 8, 16), (5, 10)
    falling = np.linspace(3, 2, len(lengths))[:, None] + rng.normal(0, 0.1, (len(lengths), 10))
    disturbed = falling[-1] + rng.uniform(0, 0.2, (3, len(distances), 10))
    return ContextLosses(
        name, np.zeros(10, int), np.arange(10), np.ones(10, int), np.ones(10, int), np.zeros(10), falling[-1] - 0.005,
        lengths, falling, 16, distances, *disturbed,
    )  # fmt: skip


def test_context_charts_have_the_losses_of_each_run_and_their_errors():
    found = [losses("gru", 0), losses("ngram", 1)]

    by_length, disturbed = context_charts(found, "nats per token")

    assert [curve.name for curve in by_length.curves[::2]] == ["gru", "ngram"]
    for one, curve, whole in zip(found, by_length.curves[::2], by_length.curves[1::2], strict=True):
        estimates = [one.loss(nats, "nats per token") for nats in one.by_length]
        assert curve.x == one.lengths
        assert list(curve.y) == [estimate.value for estimate in estimates]
        np.testing.assert_allclose(curve.high - curve.y, [estimate.error for estimate in estimates])
        assert set(whole.y) == {one.loss(one.whole, "nats per token").value}
        assert (curve.dashed, whole.dashed, curve.color == whole.color) == (False, True, True)
    assert list(by_length.x_marks.values()) == [one.horizon for one in found]
    assert [curve.name for curve in disturbed.curves] == [
        "gru, shuffled", "gru, replaced", "ngram, shuffled", "ngram, replaced"
    ]  # fmt: skip
    added = [found[0].added(nats, "nats per token").value for nats in found[0].replaced]
    assert list(disturbed.curves[1].y) == added
    assert [curve.dashed for curve in disturbed.curves] == [False, True] * 2


def test_context_charts_of_one_run_show_dropped_contexts_too():
    (_, disturbed) = context_charts([losses("gru", 0)], "bits per byte")

    assert [curve.name for curve in disturbed.curves] == ["gru, dropped", "gru, shuffled", "gru, replaced"]
    assert len({curve.color for curve in disturbed.curves}) == 3
    assert disturbed.y_label == "added bits per byte"


@pytest.mark.slow
@pytest.mark.parametrize(("width", "color_scheme"), [(400, "dark"), (1200, "light")])
def test_context_page_fits_the_window(open_page, width, color_scheme):
    found = [losses(name, seed) for seed, name in enumerate(["novel-gru", "novel-ngram", "novel-lstm+ngram"])]
    page = open_page(chart_page(context_charts(found, "nats per token"), "Context"), width, color_scheme)

    assert page.evaluate("document.documentElement.scrollWidth") == width
