"""Readers: parts of any length, single tokens, documents, divergence; for every neural family."""

from __future__ import annotations

import copy
import itertools

import numpy as np
import pytest
import torch

from seqgen.data.documents import Documents
from seqgen.evaluation.adaptation import reader as readers
from seqgen.evaluation.adaptation.cache import NeuralCache
from seqgen.evaluation.adaptation.reader import Floats, Integers, NeuralReader, StaticReader
from seqgen.evaluation.adaptation.stream import stream_of
from seqgen.evaluation.adaptation.weights import DynamicWeights
from seqgen.models.base import NeuralModel
from seqgen.models.registry import FAMILIES

from ...conftest import CONFIGS, build_model

NEURAL = [name for name, config in CONFIGS.items() if FAMILIES[config.cell].neural]
DOCUMENTS = Documents.of(
    [
        np.random.default_rng(seed).integers(1, 11, length).astype(np.int32)
        for seed, length in enumerate((21, 1, 13, 30))
    ],
    ends=True,
)
STREAM = stream_of(DOCUMENTS)


def neural_reader(
    model: NeuralModel, *, rate: float = 0.02, cache: bool = False, segment: int = 7, **settings: bool
) -> NeuralReader:
    weights = DynamicWeights(model, rate=rate, decay=0.05, epsilon=0.002)
    return NeuralReader(model, weights, NeuralCache(20, 0.5, 0.2) if cache else None, segment, **settings)


def test_static_reader_packs_a_stepper_only_to_read_single_tokens(monkeypatch):
    model, made = build_model("gru"), []
    stepper = model.stepper
    monkeypatch.setattr(model, "stepper", lambda: made.append("stepper") or stepper())
    reader = StaticReader(model)

    reader.nats(*STREAM)
    assert not made
    reader.read(0)
    reader.read(1)

    assert made == ["stepper"]


@pytest.mark.parametrize("name", NEURAL)
def test_neural_reader_without_a_rate_is_static(name):
    model = build_model(name).double()

    found = NeuralReader(model, DynamicWeights(model, 0.0, 0.05, 0.002), None, 7).nats(*STREAM)

    np.testing.assert_allclose(found, StaticReader(model).nats(*STREAM), rtol=1e-9)


@pytest.mark.parametrize(("name", "cache"), [*((name, False) for name in NEURAL), ("lstm", True)])
def test_neural_reader_gives_the_same_numbers_for_every_chunking(name, cache):
    model = build_model(name).double()
    whole, parts, tokens = (neural_reader(model, cache=cache) for _ in range(3))
    inputs, targets = STREAM

    expected = whole.nats(inputs, targets)

    cuts = [0, 3, 3, 11, 12, 14, 40, len(inputs)]
    in_parts = [parts.nats(inputs[a:b], targets[a:b]) for a, b in itertools.pairwise(cuts)]
    np.testing.assert_allclose(np.concatenate(in_parts), expected, rtol=1e-9)
    np.testing.assert_allclose(read_tokens(tokens, inputs, targets), expected, rtol=1e-9)
    for one, other in zip(whole.model().parameters(), tokens.model().parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def read_tokens(reader: NeuralReader, inputs: Integers, targets: Integers) -> Floats:
    """Return nats by `log_probs` and `read`."""
    nats = np.empty(len(targets))
    for place, (token, target) in enumerate(zip(inputs.tolist(), targets.tolist(), strict=True)):
        if place == 0 or token != targets[place - 1]:
            reader.read(token)
        nats[place] = -reader.log_probs()[target]
        reader.read(target)
    return nats


@pytest.mark.parametrize("name", ["lstm", "gru", "transformer", "window"])
def test_neural_reader_learns_as_a_plain_loop_over_segments(name):
    model = build_model(name).double()
    learner = DynamicWeights(model, rate=0.02, decay=0.05, epsilon=0.002)
    inputs, targets = STREAM

    found = neural_reader(model).nats(inputs, targets)

    state, expected = model.initial_state(1, 9999), []
    for start in range(0, len(inputs), 7):
        tokens, wanted = (torch.from_numpy(row[start : start + 7])[None] for row in (inputs, targets))
        nats, state = learner.model.nats(tokens, wanted, state.detach(), tokens == 0)
        expected += nats[0].tolist()
        learner.learn(nats.mean())
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert np.abs(found - StaticReader(model).nats(inputs, targets)).max() > 0.1


@pytest.mark.parametrize("cache", [False, True])
def test_reset_reads_each_document_as_a_new_stream(cache):
    model = build_model("gru").double()
    expected = [neural_reader(model, cache=cache).nats(*stream_of(Documents.of([ids], ends=True))) for ids in DOCUMENTS]

    together = neural_reader(model, cache=cache, reset=True).nats(*STREAM)
    one_by_one = read_tokens(neural_reader(model, cache=cache, reset=True), *STREAM)

    np.testing.assert_allclose(together, np.concatenate(expected), rtol=1e-12)
    np.testing.assert_allclose(one_by_one, together, rtol=1e-9)


def test_read_without_ends_learns_only_from_tokens():
    model = build_model("gru").double()
    documents = Documents.of(list(DOCUMENTS))
    inputs, targets = stream_of(documents)
    whole, tokens = neural_reader(model, ends=False), neural_reader(model, ends=False)

    expected, found = whole.nats(inputs, targets), []
    for ids in documents:
        tokens.read(0)
        for token in ids.tolist():
            found.append(-tokens.log_probs()[token])
            tokens.read(token)

    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_neural_reader_leaves_the_trained_model():
    model = build_model("transformer")
    before = copy.deepcopy(model.state_dict())

    adapted = neural_reader(model)
    adapted.nats(*STREAM)

    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])
    assert any(not torch.equal(tensor, before[name]) for name, tensor in adapted.model().state_dict().items())


def test_weights_that_are_much_worse_return_to_the_trained_ones(monkeypatch):
    monkeypatch.setattr(readers, "CHECK_TOKENS", 28)
    model = build_model("gru").double()
    reader = NeuralReader(model, DynamicWeights(model, 100.0, 0.0, 0.002), None, 7)

    found, static = reader.nats(*STREAM), StaticReader(model).nats(*STREAM)

    assert reader.diverged_at == 28
    assert found[:28].sum() > readers.DIVERGED * static[:28].sum()
    np.testing.assert_allclose(found[28:], static[28:], rtol=1e-9)
    for one, trained in zip(reader.model().parameters(), model.parameters(), strict=True):
        assert torch.equal(one, trained)


def test_weights_whose_gradient_is_not_finite_return_to_the_trained_ones(monkeypatch):
    model = build_model("transformer").double()
    weights = DynamicWeights(model, 0.02, 0.05, 0.002)
    learn, calls = weights.learn, itertools.count()
    monkeypatch.setattr(weights, "learn", lambda loss: learn(loss if next(calls) < 2 else loss / 0))
    reader = NeuralReader(model, weights, None, 7)

    found, static = reader.nats(*STREAM), StaticReader(model).nats(*STREAM)

    assert reader.diverged_at == 21
    np.testing.assert_allclose(found[21:], static[21:], rtol=1e-9)


@pytest.mark.parametrize("length", [7, 10, 60])
def test_divergence_since_the_last_check_is_found_at_the_end(length):
    model = build_model("gru").double()
    reader = NeuralReader(model, DynamicWeights(model, 100.0, 0.0, 0.002), None, 7)
    inputs, targets = STREAM
    reader.nats(inputs[:length], targets[:length])

    adapted = reader.model()

    assert reader.diverged_at == length
    for one, trained in zip(adapted.parameters(), model.parameters(), strict=True):
        assert torch.equal(one, trained)
    static = StaticReader(model).nats(inputs, targets)
    np.testing.assert_allclose(reader.nats(inputs[length:], targets[length:]), static[length:], rtol=1e-9)


@pytest.mark.parametrize("length", [3, 7, 10])
def test_model_before_the_end_changes_no_later_numbers(length):
    model = build_model("transformer").double()
    reader, (inputs, targets) = neural_reader(model), STREAM
    expected = neural_reader(model).nats(inputs, targets)

    before = reader.nats(inputs[:length], targets[:length])
    reader.model()
    after = reader.nats(inputs[length:], targets[length:])

    np.testing.assert_allclose(np.concatenate([before, after]), expected, rtol=1e-12)
    assert reader.diverged_at is None


def test_divergence_with_reset_counts_all_tokens(monkeypatch):
    monkeypatch.setattr(readers, "CHECK_TOKENS", 28)
    model = build_model("gru").double()
    reader = NeuralReader(model, DynamicWeights(model, 100.0, 0.0, 0.002), None, 7, reset=True)
    # Three updates in 22 tokens, none in 2, one in 14: the 28th token that was learned from is the 31st of the stream.
    reader.nats(*STREAM)

    assert reader.diverged_at == 31
