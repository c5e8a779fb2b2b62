"""The search for rates and sizes."""

from __future__ import annotations

import numpy as np
import pytest

from seqgen.data.documents import Documents
from seqgen.errors import ConfigError, TextError
from seqgen.evaluation.adaptation.adaptive import adaptive
from seqgen.evaluation.adaptation.config import AdaptationConfig, AdaptationConstants
from seqgen.evaluation.adaptation.stream import read_stream, stream_of
from seqgen.evaluation.adaptation.tune import search, tune

from ...conftest import build_model


def test_search_multiplies_one_constant_after_the_other():
    start = AdaptationConstants(rate=1.0, decay=0.1, cache_window=100)
    wanted = AdaptationConstants(rate=2.0, decay=0.1, cache_window=25)

    def cost(tried: AdaptationConstants) -> float:
        return abs(tried.rate - wanted.rate) + abs(tried.decay - wanted.decay) + abs(tried.cache_window - 25)

    found = search(start, {"rate": (0.5, 2.0, 4.0), "decay": (0.5, 2.0), "cache_window": (0.25,)}, cost)

    assert found == wanted
    assert isinstance(found.cache_window, int)


def test_search_skips_constants_that_their_bounds_refuse():
    start = AdaptationConstants(memory=5.0, cache_share=0.6, cache_window=2)

    found = search(
        start,
        {"memory": (0.1, 0.5), "cache_share": (0.5, 2.0), "cache_window": (0.25, 0.5)},
        lambda tried: tried.memory - tried.cache_share + tried.cache_window,
    )

    assert found == AdaptationConstants(memory=2.5, cache_share=0.6, cache_window=1)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        pytest.param("gru", {"dynamic": "all"}, marks=pytest.mark.slow),
        pytest.param("lstm+transformer", {"dynamic": "all", "cache": True}, marks=pytest.mark.slow),
    ],
)
def test_tune_finds_constants_that_cost_less(name, settings):
    model = build_model(name)
    documents = Documents.of([np.tile([4, 5, 6, 2], 100)])
    start = AdaptationConstants(rate=0.0005, segment=16)
    calls: list[tuple[int, int]] = []

    found = tune(model, documents, AdaptationConfig(**settings, adaptation=start), lambda *one: calls.append(one))

    assert found.rate == 0.002
    assert calls[-1][0] == calls[-1][1]

    def cost(constants: AdaptationConstants) -> float:
        cache = settings.get("cache", False)
        return float(read_stream([adaptive(model, "all", constants, cache=cache)], stream_of(documents)).sum())

    assert cost(found) < cost(start)


def test_short_texts_and_models_without_rates_are_refused():
    with pytest.raises(TextError, match="4 tokens"):
        tune(build_model("gru"), Documents.of([np.array([4, 5, 6, 2])]), AdaptationConfig(dynamic="all"))
    with pytest.raises(ConfigError, match="no rates"):
        tune(build_model("ngram"), Documents.of([np.tile([4, 5, 6, 2], 100)]), AdaptationConfig(dynamic="all"))
