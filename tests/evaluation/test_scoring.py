"""Scores against a plain loop over each document or window, alone, in fp64."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seqgen import models
from seqgen.data.documents import Documents
from seqgen.errors import ConfigError
from seqgen.evaluation import scoring, segments
from seqgen.evaluation.config import EvaluationConfig
from seqgen.evaluation.report import Context, TextSize
from seqgen.evaluation.scoring import (
    COLUMNS,
    Scores,
    evaluate,
    nats_by_document,
    plan_segments,
    predict,
    score,
    score_any,
)
from seqgen.evaluation.segments import LANES, MIN_SEGMENT, Segments, stream_segments, window_segments
from seqgen.models.base import LanguageModel
from seqgen.models.config import GruConfig, LstmConfig, TransformerConfig
from seqgen.models.skeleton import skeleton
from seqgen.tokenizers.base import BOUNDARY, Ids

from ..conftest import build_model, first_with_every_model, neural

SIZE = TextSize(characters=1, bytes=1, unknown=0, unk_cost=0.0)


def random_documents(*lengths: int, ends: bool = False) -> Documents:
    random = np.random.default_rng(0)
    return Documents.of([random.integers(1, 11, length).astype(np.int32) for length in lengths], ends=ends)


def costs(model: LanguageModel, inputs: list[int], targets: list[int]) -> list[float]:
    """Return -ln p of each target, from one forward in fp64 and the definition of the softmax."""
    exact = copy.deepcopy(model).double().eval()
    state = exact.initial_state(1, 9999).map(lambda member: member.double() if member.is_floating_point() else member)
    with torch.no_grad():
        logits, _ = exact(tokens := torch.tensor([inputs]), state, tokens == BOUNDARY)
    found = []
    for row, target in zip(logits[0].tolist(), targets, strict=True):
        largest = max(row)
        found.append(math.log(math.fsum(math.exp(logit - largest) for logit in row)) - (row[target] - largest))
    return found


def naive(model: LanguageModel, documents: Sequence[Ids]) -> list[list[float]]:
    """Return the costs of each document's tokens, and of its end if it has one."""
    found = []
    ends_of = documents.ends if isinstance(documents, Documents) else [False] * len(documents)
    for ids, ends in zip(documents, ends_of, strict=True):
        targets = [*ids.tolist(), *([BOUNDARY] if ends else [])]
        found.append(costs(model, [BOUNDARY, *ids.tolist()][: len(targets)], targets))
    return found


def score_documents(model: LanguageModel, documents: Documents, plan: Segments, **settings: str) -> list[np.ndarray]:
    return nats_by_document(documents, score(model, documents, plan, **settings))


def total(model: LanguageModel, documents: Documents, plan: Segments, **settings: str) -> float:
    return math.fsum(float(part.nats.sum(dtype=np.float64)) for part in score(model, documents, plan, **settings))


def assert_close(found: list[np.ndarray], expected: list[list[float]]) -> None:
    assert [len(nats) for nats in found] == [len(nats) for nats in expected]
    for nats, exact in zip(found, expected, strict=True):
        np.testing.assert_allclose(nats, exact, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("ends", [False, True])
def test_score_of_one_stream_equals_the_forward(model, ends):
    documents = random_documents(40, 1, 63 - ends, ends=ends)

    found = score_documents(model, documents, stream_segments(documents, 8, lanes=1))

    assert_close(found, naive(model, documents))


@first_with_every_model("ends", [[True], [False]])
def test_score_of_documents_is_that_of_each_alone(model, ends):
    """More documents than lanes, several longer than a call reads."""
    long = [] if model.max_positions else [COLUMNS - 1, COLUMNS, COLUMNS + 1, 2 * COLUMNS + 100]
    documents = random_documents(*long, *(1 + place % 9 for place in range(LANES + 10)), 50, ends=ends)

    found = score_documents(model, documents, stream_segments(documents, 8, lanes=1))

    assert_close(found, naive(model, documents))


@settings(max_examples=20)
@given(lengths=st.lists(st.integers(1, 30), min_size=1, max_size=40), ends=st.booleans(), data=st.data())
def test_total_does_not_depend_on_lanes_and_order(lengths, ends, data):
    model = build_model(data.draw(st.sampled_from(["lstm", "gru", "transformer"])))
    documents = random_documents(*lengths, ends=ends)
    plan = stream_segments(documents, 8)
    expected = total(model, documents, plan)

    shuffled = plan.take(np.array(data.draw(st.permutations(range(len(plan)))), dtype=np.int64))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segments, "LANES", data.draw(st.integers(1, 5)))
        patch.setattr(scoring, "COLUMNS", data.draw(st.integers(1, 20)))
        assert total(model, documents, shuffled) == pytest.approx(expected, rel=1e-6)


def test_score_of_documents_of_a_file_is_that_of_arrays():
    """Ids in a cache are of the smallest type that holds them."""
    model, documents = build_model("gru"), random_documents(30, 4, ends=True)
    narrow = Documents(documents.ids.astype(np.uint8), documents.starts, documents.ends)
    plan = stream_segments(documents, 8)

    assert total(model, narrow, plan) == total(model, documents, plan)


def test_plan_segments_reads_windows_if_the_positions_are_limited():
    limited = skeleton(TransformerConfig(block_size=8, positions="sinusoidal"), 11)
    documents = random_documents(20)

    plan, context = plan_segments(limited, documents, EvaluationConfig())
    assert plan.steps.tolist() == [8, 8, 4]
    assert context == Context(kind="windows", segments=3, window=8, stride=8)
    _, context = plan_segments(limited, documents, EvaluationConfig(context_window=8, stride=2))
    assert context == Context(kind="windows", segments=7, window=8, stride=2)
    for config, words in (
        ({"context_window": 9}, "context_window: .*9.* 8 "),
        ({"sequential": True}, "sequential: .*20.* 8 "),
    ):
        with pytest.raises(ConfigError, match=words):
            plan_segments(limited, documents, EvaluationConfig(**config))
    _, context = plan_segments(limited, random_documents(8, 3), EvaluationConfig(sequential=True))
    assert context == Context(kind="stream", segments=2)


def test_plan_segments_reads_the_whole_text_without_a_limit():
    model = skeleton(GruConfig(), 11)
    long, short = random_documents(4 * MIN_SEGMENT), random_documents(5, 6, 7)

    plan, context = plan_segments(model, long, EvaluationConfig())
    assert plan.score.tolist() == [0, 512, 1024, 1536]
    assert context == Context(kind="stream", segments=4, burn_in=model.burn_in)
    _, context = plan_segments(model, long, EvaluationConfig(sequential=True))
    assert context == Context(kind="stream", segments=1)
    _, context = plan_segments(model, short, EvaluationConfig())
    assert context == Context(kind="stream", segments=3)


@first_with_every_model("window, stride", [(16, 5), (16, 16), (2, 1), (1, 1), (60, 60)])
def test_score_of_a_window_sees_only_the_window(model, window, stride):
    documents = random_documents(45, 7, ends=True)
    expected = []
    for ids in documents:
        text = [BOUNDARY, *ids.tolist(), BOUNDARY]
        nats: list[float] = []
        while len(nats) <= len(ids):
            end = len(nats) + stride if nats else window
            begin, end = max(0, end - window), min(len(ids) + 1, end)
            nats += costs(model, text[begin:end], text[begin + 1 : end + 1])[len(nats) - begin :]
        expected.append(nats)

    assert_close(score_documents(model, documents, window_segments(documents, window, stride)), expected)


@pytest.mark.parametrize("config", [GruConfig(hidden_size=16), LstmConfig(hidden_size=16)])
def test_score_of_segments_with_burn_in_equals_one_stream(config):
    model = models.build(config, 11).eval()  # gates near one half: its memory fades within tens of tokens
    with torch.no_grad():
        model.get_parameter("head.weight").mul_(5.0)
    documents = random_documents(4000, 700)
    stream = total(model, documents, stream_segments(documents, 0, lanes=1))

    burnt_in, cold = (total(model, documents, stream_segments(documents, burn_in, lanes=8)) for burn_in in (256, 0))

    assert len(stream_segments(documents, 256, lanes=8)) == 9
    assert abs(burnt_in - stream) / documents.tokens < 1e-6
    assert abs(cold - stream) / documents.tokens > 1e-4  # without burn-in they differ


def test_burn_in_tokens_change_the_state_and_are_not_scored(model):
    documents = random_documents(30)
    (whole,) = naive(model, documents)
    one = np.array([0])

    (found,) = score(model, documents, Segments(one, one, one + 22, one + 25, one > 0))

    assert found.position.tolist() == [22, 23, 24]
    assert found.nats == pytest.approx(whole[22:25], rel=1e-4)


def test_evaluate_adds_up_the_scores_of_tokens_and_ends(model):
    documents = random_documents(*range(1, 60), 40, ends=True)
    reports: list[int] = []

    evaluation = evaluate(model, documents, SIZE, EvaluationConfig(), reports.append)

    assert (evaluation.tokens, evaluation.ends, evaluation.size) == (documents.tokens, 60, SIZE)
    assert evaluation.nats == pytest.approx(math.fsum(map(math.fsum, naive(model, documents))), rel=1e-5)
    assert sum(reports) == documents.tokens
    reports.clear()
    windows = evaluate(model, documents, SIZE, EvaluationConfig(context_window=9, stride=2), reports.append)
    assert sum(reports) == windows.tokens == documents.tokens
    assert evaluate(model, random_documents(3), SIZE, EvaluationConfig()).ends == 0


def test_nats_by_document_does_not_depend_on_the_order_of_scores():
    documents = random_documents(2, 3, ends=True)
    parts = [
        Scores(np.array([1, 0]), np.array([3, 2]), np.array([13, 2], dtype=np.float32)),
        Scores(np.array([0, 1, 1, 0, 1]), np.array([1, 0, 2, 0, 1]), np.array([1, 10, 12, 0, 11], dtype=np.float32)),
    ]

    assert [nats.tolist() for nats in nats_by_document(documents, parts)] == [[0, 1, 2], [10, 11, 12, 13]]


@pytest.mark.parametrize("training", [True, False])
def test_score_runs_without_dropout_and_restores_the_mode(training):
    model = models.build(LstmConfig(hidden_size=16, dropout=0.5), 11).train(training)
    documents = random_documents(30)

    scores = score(model, documents, stream_segments(documents, 8))
    found = next(scores)

    assert model.training is training
    assert torch.is_grad_enabled()
    assert list(scores) == []
    np.testing.assert_allclose(found.nats, naive(model, documents)[0], rtol=1e-4)
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_score_in_bf16_and_int8_is_close_to_fp32(model, precision):
    documents = random_documents(60, 41, *[3] * LANES, ends=True)
    plan = stream_segments(documents, 8)

    fp32, other = (total(model, documents, plan, precision=kind) for kind in ("fp32", precision))

    assert other != fp32 or not list(model.parameters())  # the probabilities of an n-gram model are always fp64
    assert other == pytest.approx(fp32, rel=0.02)


def test_score_pads_lanes_within_limited_positions():
    """The longest document that the positions allow ends in most lanes, while ten lanes have a second."""
    model = build_model("transformer-sinusoidal")
    documents = random_documents(*[model.max_positions] * (LANES + 10))

    found = score_documents(model, documents, window_segments(documents, model.max_positions, model.max_positions))

    assert_close([found[0], found[-1]], naive(model, documents[:1]) + naive(model, documents[-1:]))


@neural
def test_score_bounds_the_logits_of_a_call(model, monkeypatch):
    documents = random_documents(60, 13, 41)
    plan = stream_segments(documents, 8, lanes=1)
    expected = total(model, documents, plan)
    sizes = []
    model.register_forward_hook(lambda model, arguments, output: sizes.append(output[0].numel()))

    monkeypatch.setattr(scoring, "MAX_LOGITS", 3 * 7 * model.vocab_size)
    assert total(model, documents, plan) == pytest.approx(expected, rel=1e-5)
    assert max(sizes) == 3 * 7 * model.vocab_size
    monkeypatch.setattr(scoring, "MAX_LOGITS", 1)  # a token at a time is the least
    sizes.clear()
    assert total(model, documents, plan) == pytest.approx(expected, rel=1e-5)
    assert max(sizes) == 3 * model.vocab_size


def test_score_ignores_the_callers_autocast(model):
    documents = random_documents(60)
    plan = stream_segments(documents, 8)
    expected = total(model, documents, plan)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert total(model, documents, plan) == expected


@first_with_every_model("precision", [["fp32"], ["int8"]], few=("gru", "transformer"))
def test_predict_scores_as_score_does(model, precision):
    documents = random_documents(20, 1, 30, ends=True)
    plan = stream_segments(documents, 8)

    found = nats_by_document(documents, predict(model, documents, plan, precision, top=3))

    assert_close(found, [nats.tolist() for nats in score_documents(model, documents, plan, precision=precision)])


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_score_any_adds_up_the_probabilities_of_its_members(precision):
    model, documents = build_model("gru"), random_documents(20, 3, ends=True)
    plan, members = stream_segments(documents, 8), np.arange(11) % 3 == 0

    found = list(score_any(model, documents, plan, members, precision))

    for part, every in zip(found, predict(model, documents, plan, precision, top=11), strict=True):
        expected = np.where(members[every.top], np.exp(every.top_log_probs), 0).sum(axis=1)
        np.testing.assert_allclose(np.exp(-part.nats), expected, rtol=1e-5)
        assert (part.position == every.position).all()


def test_predict_ranks_targets_and_returns_the_most_probable_tokens():
    model, documents = build_model("lstm"), random_documents(30, 9, ends=True)
    plan = stream_segments(documents, 8)

    ranked = list(predict(model, documents, plan, top=99))

    assert not model.training
    for part in ranked:
        assert part.top.shape == part.top_log_probs.shape == (len(part.nats), 11)
        np.testing.assert_allclose(np.exp(part.top_log_probs).sum(axis=1), 1, rtol=1e-5)
        assert (np.diff(part.top_log_probs, axis=1) <= 0).all()
        at = part.rank - 1
        np.testing.assert_allclose(part.top_log_probs[np.arange(len(at)), at], -part.nats, rtol=1e-5)
        inside = part.position < documents.lengths[part.document] - 1
        targets = documents.ids[documents.starts[part.document] + np.where(inside, part.position, 0)]
        untied = part.position > 0  # an untrained state is zero, and all tokens are equal
        found = part.top[np.arange(len(at)), at]
        assert (found == np.where(inside, targets, BOUNDARY))[untied].all()
    for part, few in zip(ranked, predict(model, documents, plan, top=2), strict=True):
        untied = part.position > 0
        assert (few.top == part.top[:, :2])[untied].all()
