"""N-gram models that count what they have predicted, as readers, alone and in mixtures."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from seqgen.data.documents import Documents
from seqgen.evaluation.adaptation.adaptive import adaptive
from seqgen.evaluation.adaptation.config import AdaptationConfig
from seqgen.evaluation.adaptation.mixture import MixtureReader
from seqgen.evaluation.adaptation.ngram import NgramReader
from seqgen.evaluation.adaptation.reader import StaticReader
from seqgen.evaluation.adaptation.stream import evaluate_dynamic, stream_of
from seqgen.evaluation.report import TextSize
from seqgen.models.config import LstmConfig, NgramConfig
from seqgen.models.mixture import MixtureModel
from seqgen.models.ngram.model import NgramModel, fit
from seqgen.models.registry import MixtureConfig

from ...conftest import VOCAB_SIZE, build_model


def random_documents(*lengths: int, seed: int) -> Documents:
    random = np.random.default_rng(seed)
    return Documents.of([random.integers(1, 6, length).astype(np.int32) for length in lengths], ends=True)


DOCUMENTS = random_documents(21, 1, 40, seed=1)
STREAM = stream_of(DOCUMENTS)


@pytest.fixture(scope="module")
def ngram() -> NgramModel:
    text = random_documents(60, 30, seed=0)
    config = NgramConfig(order=3)
    return fit(config, (text.ids, text.starts, text.ends), VOCAB_SIZE, tokenizer="char", models_ends=True)


@pytest.fixture
def mixture(ngram: NgramModel) -> MixtureModel:
    lstm = build_model("lstm")
    assert isinstance(lstm.config, LstmConfig)
    config = MixtureConfig(members={"lstm": lstm.config, "ngram": ngram.config})
    return MixtureModel(config, VOCAB_SIZE, {"lstm": lstm, "ngram": ngram}).eval()


@pytest.mark.parametrize("reset", [False, True])
def test_ngram_reader_gives_the_same_numbers_for_parts_and_single_tokens(ngram, reset):
    inputs, targets = STREAM
    whole, parts, tokens = (NgramReader(ngram, reset=reset) for _ in range(3))

    expected = whole.nats(inputs, targets)

    found = [parts.nats(inputs[:10], targets[:10]), parts.nats(inputs[10:], targets[10:])]
    np.testing.assert_allclose(np.concatenate(found), expected, rtol=1e-12)
    tokens.read(0)
    for place, target in enumerate(targets.tolist()):
        assert -tokens.log_probs()[target] == pytest.approx(expected[place])
        tokens.read(target)


def test_ngram_reader_learns_and_returns_to_the_trained_counts_at_documents(ngram):
    each = [NgramReader(ngram).nats(*stream_of(Documents.of([ids], ends=True))) for ids in DOCUMENTS]

    found = NgramReader(ngram, reset=True).nats(*STREAM)

    np.testing.assert_allclose(found, np.concatenate(each), rtol=1e-12)
    assert NgramReader(ngram).nats(*STREAM)[30:].sum() != pytest.approx(found[30:].sum(), rel=1e-3)


def test_model_of_an_ngram_reader_has_counted_what_was_read(ngram):
    before = StaticReader(ngram).nats(*STREAM)
    reader = NgramReader(ngram)
    reader.nats(*STREAM)

    assert StaticReader(reader.model()).nats(*STREAM).sum() < before.sum()
    np.testing.assert_array_equal(StaticReader(ngram).nats(*STREAM), before)


@pytest.mark.parametrize(
    ("what", "cache"), [*itertools.product(["weights", "ngram", "all"], [False, True]), (None, True)]
)
def test_parts_of_a_mixture_cost_what_their_own_readers_say(mixture, what, cache):
    size = TextSize(characters=1, bytes=1, unknown=0, unk_cost=0.0)

    found = evaluate_dynamic(mixture, DOCUMENTS, size, AdaptationConfig(dynamic=what, cache=cache)).dynamic

    assert found is not None
    assert list(found.parts) == (["weights", "ngram", "all"] if what == "all" else [what or "cache"])
    for part, nats in found.parts.items():
        reader = adaptive(mixture, None if part == "cache" else part, cache=cache)  # type: ignore[arg-type]
        assert nats == pytest.approx(reader.nats(*STREAM).sum())
    assert found.nats == found.parts[what or "cache"]
    learned = {name for name, (static, dynamic) in found.members.items() if static != dynamic}
    expected = {"weights": {"lstm"}, "ngram": {"ngram"}, "all": {"lstm", "ngram"}, None: set()}[what]
    assert learned == expected | ({"lstm"} if cache else set())


def test_mixture_reader_reads_single_tokens(mixture):
    expected, reader = adaptive(mixture, "all").nats(*STREAM), adaptive(mixture, "all")
    assert isinstance(reader, MixtureReader)

    found = []
    reader.read(0)
    for target in STREAM[1].tolist():
        found.append(-reader.log_probs()[target])
        reader.read(target)

    np.testing.assert_allclose(found, expected, rtol=1e-5)
