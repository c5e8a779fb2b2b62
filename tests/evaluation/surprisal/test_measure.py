"""One reading gives what separate readings give: scores, evaluation, sums of lines, calibration."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from seqgen.data.documents import Documents
from seqgen.errors import ConfigError, TextError
from seqgen.evaluation.config import EvaluationConfig
from seqgen.evaluation.report import TextSize
from seqgen.evaluation.scoring import evaluate, nats_by_document, plan_segments, score
from seqgen.evaluation.surprisal import measure as module
from seqgen.evaluation.surprisal.measure import measure_surprisal
from seqgen.sources.source import LoadedDocuments
from seqgen.tokenizers.base import BOUNDARY
from seqgen.tokenizers.char import CharTokenizer

from ...conftest import build_model, first_with_every_model

TOKENIZER = CharTokenizer("\nabcdefgh")
TEXTS = ("abc\nde\nfx\n" * 3, "h", "gab\n\ncad")


def encode(ends: bool) -> tuple[LoadedDocuments, Documents]:
    documents = LoadedDocuments.of(TEXTS, [1, 1, 1], [ends] * 3)
    return documents, Documents.of(map(TOKENIZER.encode, TEXTS), ends=ends)


def measured(model, config=None, *, ends=True, **options):
    documents, ids = encode(ends)
    return measure_surprisal(model, TOKENIZER, documents, ids, config or EvaluationConfig(), **options)


@first_with_every_model("ends, settings", [[True, {}], [False, {}], [True, {"context_window": 7, "stride": 3}]])
def test_surprisal_has_the_nats_of_score_and_the_figures_of_evaluate(model, ends, settings):
    config = EvaluationConfig(**settings)
    documents, ids = encode(ends)

    found = measured(model, config, ends=ends)

    segments, _ = plan_segments(model, ids, config)
    for tokens, nats in zip(found.tokens, nats_by_document(ids, score(model, ids, segments)), strict=True):
        np.testing.assert_allclose(tokens.scores.nats, nats, rtol=1e-5, atol=1e-6)
    expected = evaluate(model, ids, TextSize.total(documents, TOKENIZER, documents.end_bytes), config)
    assert found.evaluation.nats == pytest.approx(expected.nats)
    assert found.evaluation.bits_per_byte == pytest.approx(expected.bits_per_byte)
    assert (found.evaluation.tokens, found.evaluation.ends) == (expected.tokens, expected.ends)
    assert (found.evaluation.context, found.evaluation.size) == (expected.context, expected.size)


def test_surprisal_ranks_each_token_among_the_whole_vocabulary(model):
    """The rank and the most probable tokens of a plain forward in fp64 over each document."""
    exact = copy.deepcopy(model).double().eval()
    found = measured(model)

    for text, tokens in zip(TEXTS, found.tokens, strict=True):
        ids = TOKENIZER.encode(text).tolist()
        inputs = torch.tensor([[BOUNDARY, *ids]])
        if model.max_positions is not None and inputs.shape[1] > model.max_positions:
            continue
        state = exact.initial_state(1, 99).map(lambda one: one.double() if one.is_floating_point() else one)
        with torch.no_grad():
            log_probs = exact.log_probs(inputs, state, inputs == BOUNDARY)[0][0].numpy()
        own = np.take_along_axis(log_probs, np.array([[*ids, BOUNDARY]]).T, axis=1)
        lowest, highest = (1 + (log_probs > own + margin).sum(axis=1) for margin in (1e-4, -1e-4))  # rounding, and ties
        assert (lowest <= tokens.rank).all()
        assert (tokens.rank <= highest).all()
        best = -np.sort(-log_probs, axis=1)[:, :5]
        np.testing.assert_allclose(tokens.top_probabilities, np.exp(best), rtol=1e-3, atol=1e-6)
        named = np.take_along_axis(log_probs, tokens.top.astype(np.int64), axis=1)
        np.testing.assert_allclose(tokens.top_probabilities, np.exp(named), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("ends", [True, False])
def test_lines_and_documents_add_up_the_tokens(ends):
    found = measured(build_model("gru"), ends=ends)

    nats = [tokens.nats.sum() for tokens in found.tokens]
    assert found.documents.nats == pytest.approx(nats)
    assert found.lines.nats.sum() == pytest.approx(sum(nats))
    bits = found.documents.nats.sum() / np.log(2) / found.documents.bytes.sum()
    assert bits == pytest.approx(found.evaluation.bits_per_byte)
    tokens = found.tokens[0]
    lines = np.cumsum([0, *(character == "\n" for character in TEXTS[0])])[: len(tokens)]
    lines = np.minimum(lines, 8)  # the end is in the last line
    assert found.lines.nats[:9] == pytest.approx(np.bincount(lines, weights=tokens.nats))
    assert found.text_of(found.lines, 2) == "fx\n"
    assert found.text_of(found.documents, 2) == TEXTS[2]


def test_sums_alone_are_those_with_tokens():
    model = build_model("lstm+ngram")

    sums, all_of_it = measured(model, tokens=False), measured(model)

    assert sums.tokens is sums.calibration is None
    assert sums.lines.nats == pytest.approx(all_of_it.lines.nats, rel=1e-5)
    assert sums.evaluation.nats == pytest.approx(all_of_it.evaluation.nats, rel=1e-5)


@pytest.mark.parametrize("ends", [True, False])
@pytest.mark.parametrize("tokens", [True, False])
def test_calibration_counts_how_often_the_most_probable_token_comes(tokens, ends):
    model = build_model("gru", seed=2)
    found = measured(model, ends=ends, tokens=tokens, calibration=True).calibration

    all_tokens = measured(model, ends=ends).tokens
    confidence = np.concatenate([one.top_probabilities[:, 0] for one in all_tokens])
    correct = np.concatenate([one.top[:, 0] == one.scores.ids for one in all_tokens])
    assert found.answers == len(confidence)
    assert found.accuracy == pytest.approx(correct.mean())
    assert found.confidence == pytest.approx(confidence.mean())
    assert 0 < found.accuracy < 1


def test_surprisal_in_int8_has_the_nats_of_score():
    model, config = build_model("gru"), EvaluationConfig(precision="int8")
    _, ids = encode(ends=True)

    found = measured(model, config)

    nats = nats_by_document(ids, score(model, ids, plan_segments(model, ids, config)[0], "int8"))
    np.testing.assert_allclose(found.tokens[0].scores.nats, nats[0], rtol=1e-5)


def test_progress_receives_all_tokens():
    seen = []

    measured(build_model("gru"), progress=seen.append)

    assert sum(seen) == encode(ends=True)[1].tokens


def test_too_many_tokens_to_keep_are_refused_but_not_their_sums(monkeypatch):
    model, tokens = build_model("gru"), encode(ends=True)[1].tokens
    monkeypatch.setattr(module, "MOST_TOKENS", tokens - 1)

    with pytest.raises(TextError, match=rf"{tokens} tokens.*--by line"):
        measured(model)
    assert len(measured(model, tokens=False).lines) == 13

    monkeypatch.setattr(module, "MOST_TOKENS", tokens)
    assert len(measured(model).tokens) == 3


def test_context_beyond_the_positions_is_refused():
    with pytest.raises(ConfigError, match="context_window"):
        measured(build_model("transformer-sinusoidal"), EvaluationConfig(context_window=65))
