"""What a model has that can learn, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from seqgen.data.documents import Documents
from seqgen.errors import ConfigError
from seqgen.evaluation.adaptation.adaptive import adaptive, parts_of
from seqgen.evaluation.adaptation.config import AdaptationConfig, AdaptationConstants
from seqgen.evaluation.adaptation.reader import NeuralReader, StaticReader
from seqgen.evaluation.adaptation.stream import evaluate_dynamic, stream_of
from seqgen.evaluation.report import TextSize

from ...conftest import build_model


@pytest.mark.parametrize("name", ["window", "lstm+transformer"])
def test_parts_of_neural_models_are_weights(name):
    assert parts_of(build_model(name)) == ["weights"]


def test_adaptive_refuses_ngram_counts_of_a_model_without():
    with pytest.raises(ConfigError, match=r"dynamic: lstm.*weights"):
        adaptive(build_model("lstm"), "ngram")


def test_adaptive_of_nothing_is_a_static_reader():
    assert isinstance(adaptive(build_model("lstm"), None), StaticReader)


def some_documents() -> list[np.ndarray]:
    return [np.random.default_rng(seed).integers(1, 11, 50).astype(np.int32) for seed in range(3)]


@pytest.mark.parametrize(
    ("name", "what", "cache"),
    [("gru", "all", False), ("gru", None, True), ("ngram", "all", False), ("lstm+ngram", "all", True)],
)
def test_reset_costs_as_much_as_each_document_alone(name, what, cache):
    model = build_model(name)

    def cost(documents: list[np.ndarray], *, reset: bool) -> float:
        reader = adaptive(model, what, AdaptationConstants(rate=0.02), cache=cache, reset=reset)
        return float(reader.nats(*stream_of(Documents.of(documents, ends=True))).sum())

    found = cost(some_documents(), reset=True)

    assert found == pytest.approx(sum(cost([ids], reset=False) for ids in some_documents()), rel=1e-5)
    assert found != pytest.approx(cost(some_documents(), reset=False), rel=1e-4)


def test_report_with_reset_is_the_sum_of_each_document_alone():
    model, size = build_model("lstm+ngram"), TextSize(characters=1, bytes=1, unknown=0, unk_cost=0.0)
    config = AdaptationConfig(dynamic="all", dynamic_reset="document", cache=True)

    found, *alone = (
        evaluate_dynamic(model, Documents.of(ids, ends=True), size, config).dynamic
        for ids in (some_documents(), *([one] for one in some_documents()))
    )

    assert found is not None
    assert found.reset
    for part, nats in found.parts.items():
        assert nats == pytest.approx(sum(one.parts[part] for one in alone if one is not None), rel=1e-5)
    assert alone[2] is not None
    assert found.weights == pytest.approx(alone[2].weights)


def test_adaptive_makes_a_cache_without_dynamic_weights():
    model = build_model("lstm")
    reader = adaptive(model, None, cache=True)

    assert isinstance(reader, NeuralReader)
    assert reader.model() is model
