"""Dynamic evaluation of documents: the stream, and the figures of the report."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from seqgen.data.documents import Documents
from seqgen.errors import ConfigError
from seqgen.evaluation.adaptation.adaptive import adaptive
from seqgen.evaluation.adaptation.config import AdaptationConfig, AdaptationConstants
from seqgen.evaluation.adaptation.reader import StaticReader
from seqgen.evaluation.adaptation.stream import dynamic_nats, evaluate_dynamic, read_stream, stream_of
from seqgen.evaluation.config import EvaluationConfig
from seqgen.evaluation.report import TextSize, combine
from seqgen.evaluation.scoring import evaluate

from ...conftest import build_model

SIZE = TextSize(characters=1, bytes=1, unknown=0, unk_cost=0.0)
CONSTANTS = AdaptationConstants(rate=0.02, segment=7)
DOCUMENTS = Documents.of([np.array([3, 1]), np.arange(1, 11), np.tile([4, 5, 6], 20)], ends=True)


def test_stream_of_documents_has_their_ends_as_targets_only_where_they_are():
    documents = Documents(np.array([5, 6, 7, 8]), np.array([0, 2, 3, 4]), np.array([True, False, True]))

    inputs, targets = stream_of(documents)

    assert inputs.tolist() == [0, 5, 6, 0, 0, 8]
    assert targets.tolist() == [5, 6, 0, 7, 8, 0]


@pytest.mark.parametrize("name", ["lstm", "transformer", "window", "lstm+transformer"])
@pytest.mark.parametrize("settings", [{"dynamic": "weights"}, {"cache": True}])
def test_static_figure_is_that_of_one_stream(name, settings):
    model = build_model(name)

    found = evaluate_dynamic(model, DOCUMENTS, SIZE, AdaptationConfig(**settings, adaptation=CONSTANTS))

    sequential = evaluate(model, DOCUMENTS, SIZE, EvaluationConfig(sequential=True))
    assert found.nats == pytest.approx(sequential.nats, rel=1e-6)
    assert (found.tokens, found.ends, found.context) == (sequential.tokens, sequential.ends, sequential.context)
    assert found.dynamic is not None
    assert found.dynamic.nats != pytest.approx(found.nats, rel=1e-4)


@pytest.mark.parametrize("name", ["ngram", "lstm+ngram"])
def test_dynamic_nats_add_up_to_the_dynamic_figure(name):
    model, config, seen = build_model(name), AdaptationConfig(dynamic="all", adaptation=CONSTANTS), []

    nats = dynamic_nats(model, DOCUMENTS, config, seen.append)

    found = evaluate_dynamic(model, DOCUMENTS, SIZE, config).dynamic
    assert nats.sum() == pytest.approx(found.nats)
    assert len(nats) == sum(seen) == DOCUMENTS.tokens
    with pytest.raises(ConfigError, match="weights"):
        dynamic_nats(build_model("ngram"), DOCUMENTS, AdaptationConfig(dynamic="weights"))


def test_dynamic_figures_of_a_mixture_are_those_of_its_reader_and_members():
    model, config = build_model("lstm+transformer"), AdaptationConfig(dynamic="all", adaptation=CONSTANTS)
    model.weights.copy_(torch.tensor([0.7, 0.3]))
    inputs, targets = stream_of(DOCUMENTS)

    found = evaluate_dynamic(model, DOCUMENTS, SIZE, config).dynamic

    assert found is not None
    reader = adaptive(model, "all", CONSTANTS)
    assert found.nats == pytest.approx(read_stream([reader], stream_of(DOCUMENTS)).sum())
    assert found.parts == {"all": found.nats}
    assert list(found.weights.values()) == pytest.approx(reader.shares.shares)
    for name, member in model.members.items():
        static, dynamic = found.members[name]
        assert static == pytest.approx(StaticReader(member).nats(inputs, targets).sum())
        assert dynamic == pytest.approx(adaptive(member, "all", CONSTANTS).nats(inputs, targets).sum())


def test_evaluations_of_several_texts_add_up():
    model, config = build_model("lstm+transformer"), AdaptationConfig(dynamic="all", adaptation=CONSTANTS)
    one, other = (
        evaluate_dynamic(model, Documents.of([ids], ends=True), SIZE, config) for ids in (DOCUMENTS[1], DOCUMENTS[2])
    )

    both = combine([one, other])

    assert one.dynamic is not None
    assert other.dynamic is not None
    assert both.dynamic is not None
    assert both.dynamic.nats == one.dynamic.nats + other.dynamic.nats
    assert both.dynamic.tokens == both.tokens == one.tokens + other.tokens
    assert both.dynamic.members["lstm"][1] == one.dynamic.members["lstm"][1] + other.dynamic.members["lstm"][1]
    assert both.dynamic.weights == other.dynamic.weights


@pytest.mark.slow
@pytest.mark.parametrize(("length", "diverged_at"), [(3000, 1024), (40, 40)])
def test_divergence_is_reported(length, diverged_at):
    model = build_model("gru")
    documents = Documents.of([np.random.default_rng(0).integers(1, 11, length)])
    config = AdaptationConfig(dynamic="weights", adaptation=AdaptationConstants(rate=100.0, decay=0.0, segment=16))

    found = evaluate_dynamic(model, documents, SIZE, config).dynamic

    assert found is not None
    assert found.diverged == {"gru": diverged_at}


def test_progress_sums_to_all_tokens():
    parts: list[int] = []

    evaluate_dynamic(build_model("gru"), DOCUMENTS, SIZE, AdaptationConfig(cache=True), parts.append)

    assert sum(parts) == DOCUMENTS.tokens


def test_documents_beyond_the_positions_are_refused():
    model = build_model("transformer-sinusoidal")
    documents = Documents.of([np.arange(65) % 10 + 1])

    with pytest.raises(ConfigError, match=r"65 tokens.* 64 positions") as caught:
        evaluate_dynamic(model, documents, SIZE, AdaptationConfig(dynamic="all"))

    assert "dynamic:" not in str(caught.value)  # `seqgen sample --adapt` has no such option
