"""Scores against the plain forward over each document or window, alone, in fp64."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seqgen import models
from seqgen.errors import ConfigError
from seqgen.evaluation import scoring
from seqgen.evaluation.config import EvaluationConfig
from seqgen.evaluation.scoring import (
    COLUMNS,
    MIN_SEGMENT,
    SEGMENTS,
    Segment,
    score,
    segments_for,
    stream_segments,
    window_segments,
)
from seqgen.models.base import LanguageModel
from seqgen.models.registry import GruConfig, LstmConfig, TransformerConfig
from seqgen.tokenizers.base import BOUNDARY, Ids

LENGTHS = st.lists(st.integers(0, 3000) | st.integers(0, 20), max_size=6)


def random_ids(*lengths: int) -> list[Ids]:
    random = np.random.default_rng(0)
    return [random.integers(1, 11, length).astype(np.int32) for length in lengths]


def lengths_of(documents: list[Ids]) -> list[int]:
    return [len(ids) for ids in documents]


def costs(model: LanguageModel, inputs: list[int], targets: list[int]) -> list[float]:
    """Return -ln p of each target, from one forward in fp64."""
    exact = copy.deepcopy(model).double().eval()
    state = exact.initial_state(1, 9999).map(lambda member: member.double() if member.is_floating_point() else member)
    with torch.no_grad():
        logits, _ = exact(read := torch.tensor([inputs]), state, read == BOUNDARY)
    return [-float(row[target]) for row, target in zip(logits[0].log_softmax(dim=-1), targets, strict=True)]


def naive(model: LanguageModel, documents: list[Ids]) -> float:
    """Return the cost of the documents, each in one forward over the boundary and all of it."""
    return math.fsum(
        math.fsum(costs(model, [BOUNDARY, *ids.tolist()[:-1]], ids.tolist())) for ids in documents if len(ids)
    )


# Segments


@settings(max_examples=100)
@given(lengths=LENGTHS, burn_in=st.integers(0, 600), segments=st.integers(1, 9))
def test_stream_segments_score_each_token_once_after_their_burn_in(lengths, burn_in, segments):
    plan = stream_segments(lengths, burn_in, segments)

    for document, length in enumerate(lengths):
        own = [segment for segment in plan if segment.document == document]
        assert [token for segment in own for token in range(segment.score, segment.end)] == list(range(length))
        assert all(segment.begin == max(0, segment.score - burn_in) for segment in own)
        assert all(segment.score < segment.end for segment in own)
        if len(own) > 1:
            assert min(segment.end - segment.score for segment in own) >= MIN_SEGMENT // 2
    assert len(plan) <= segments + len(lengths)


@settings(max_examples=50)
@given(lengths=LENGTHS)
def test_one_segment_is_each_document_in_one_stream(lengths):
    expected = [Segment(document, 0, 0, length) for document, length in enumerate(lengths) if length]

    assert stream_segments(lengths, burn_in=7, segments=1) == expected


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        ([512], [Segment(0, 0, 0, 512)]),
        ([513], [Segment(0, 0, 0, 256), Segment(0, 156, 256, 513)]),
        ([3, 0, 1024], [Segment(0, 0, 0, 3), Segment(2, 0, 0, 512), Segment(2, 412, 512, 1024)]),
        ([2100], [Segment(0, 0, 0, 700), Segment(0, 600, 700, 1400), Segment(0, 1300, 1400, 2100)]),
    ],
)
def test_stream_segments_cuts_long_documents_evenly(lengths, expected):
    assert stream_segments(lengths, burn_in=100, segments=3) == expected


def test_stream_segments_fills_a_whole_batch_with_a_long_text():
    assert len(stream_segments([1_000_000], burn_in=256)) == SEGMENTS


@pytest.mark.parametrize(
    ("length", "window", "stride", "expected"),
    [
        (8, 4, 4, [(0, 0, 4), (4, 4, 8)]),
        (8, 4, 2, [(0, 0, 4), (2, 4, 6), (4, 6, 8)]),
        (6, 4, 1, [(0, 0, 4), (1, 4, 5), (2, 5, 6)]),
        (10, 4, 4, [(0, 0, 4), (4, 4, 8), (8, 8, 10)]),  # the last window is the rest
        (3, 4, 2, [(0, 0, 3)]),
        (3, 1, 1, [(0, 0, 1), (1, 1, 2), (2, 2, 3)]),
        (0, 4, 2, []),
    ],
)
def test_window_segments_by_hand(length, window, stride, expected):
    assert window_segments([length], window, stride) == [Segment(0, *segment) for segment in expected]


@settings(max_examples=100)
@given(lengths=LENGTHS, window=st.integers(1, 300), data=st.data())
def test_window_segments_score_each_token_once_with_its_context(lengths, window, data):
    stride = data.draw(st.integers(1, window))

    plan = window_segments(lengths, window, stride)

    for document, length in enumerate(lengths):
        own = [segment for segment in plan if segment.document == document]
        assert [token for segment in own for token in range(segment.score, segment.end)] == list(range(length))
        assert all(segment.end - segment.begin <= window for segment in own)
        assert all(segment.begin == 0 or segment.score - segment.begin >= window - stride for segment in own)


# Scores


def test_score_of_one_stream_equals_the_forward(model):
    documents = random_ids(40, 1, 63)

    total = score(model, documents, stream_segments(lengths_of(documents), 8, segments=1))

    assert total == pytest.approx(naive(model, documents), rel=1e-5)


def test_score_of_documents_is_the_sum_of_each_alone(model):
    """More segments than run at once, several longer than a call reads, some empty."""
    long = [] if model.max_positions else [COLUMNS - 1, COLUMNS, COLUMNS + 1, 2 * COLUMNS + 100]
    documents = random_ids(*long, *(place % 9 for place in range(SEGMENTS + 10)), 50)

    total = score(model, documents, stream_segments(lengths_of(documents), 8, segments=1))

    assert total == pytest.approx(naive(model, documents), rel=1e-5)


def test_segments_for_reads_windows_if_the_positions_are_limited():
    limited = models.skeleton(TransformerConfig(block_size=8, positions="sinusoidal"), 11)

    segments, context = segments_for(limited, [20], EvaluationConfig())
    assert segments == window_segments([20], 8, 8)
    assert context == "windows of 8 tokens, stride 8"
    assert segments_for(limited, [20], EvaluationConfig(context_window=8, stride=2))[0] == window_segments([20], 8, 2)
    for config in (EvaluationConfig(context_window=9), EvaluationConfig(sequential=True)):
        with pytest.raises(ConfigError, match="context_window"):
            segments_for(limited, [20], config)


def test_segments_for_reads_the_whole_text_without_a_limit():
    model = models.skeleton(GruConfig(), 11)
    length = 4 * MIN_SEGMENT

    assert segments_for(model, [length], EvaluationConfig())[0] == stream_segments([length], model.burn_in)
    assert segments_for(model, [length], EvaluationConfig(sequential=True))[0] == [Segment(0, 0, 0, length)]


@pytest.mark.parametrize(("window", "stride"), [(16, 16), (16, 5), (1, 1), (60, 60)])
def test_score_of_a_window_sees_only_the_window(model, window, stride):
    documents = random_ids(45, 0, 7)
    expected = 0.0
    for ids in documents:
        text = [BOUNDARY, *ids.tolist()]
        scored = 0
        while scored < len(ids):
            end = scored + stride if scored else window
            begin, end = max(0, end - window), min(len(ids), end)
            expected += math.fsum(costs(model, text[begin:end], text[begin + 1 : end + 1])[scored - begin :])
            scored = end

    total = score(model, documents, window_segments(lengths_of(documents), window, stride))

    assert total == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("config", [GruConfig(hidden_size=16), LstmConfig(hidden_size=16)])
def test_score_of_segments_with_burn_in_equals_one_stream(config):
    model = models.build(config, 11).eval()  # gates near one half: its memory fades within tens of tokens
    with torch.no_grad():
        model.get_parameter("head.weight").mul_(5.0)
    documents = random_ids(4000, 700)
    lengths = lengths_of(documents)
    stream = score(model, documents, stream_segments(lengths, 0, segments=1))

    burnt_in, cold = (score(model, documents, stream_segments(lengths, burn_in, segments=8)) for burn_in in (256, 0))

    assert len(stream_segments(lengths, 256, segments=8)) == 9
    assert abs(burnt_in - stream) / sum(lengths) < 1e-6
    assert abs(cold - stream) / sum(lengths) > 1e-4  # without burn-in they differ


def test_burn_in_tokens_change_the_state_and_are_not_scored(model):
    (ids,) = documents = random_ids(30)
    whole = costs(model, [BOUNDARY, *ids.tolist()[:-1]], ids.tolist())

    assert score(model, documents, [Segment(0, 0, 22, 25)]) == pytest.approx(math.fsum(whole[22:25]), rel=1e-4)


def test_score_of_nothing_is_zero(model):
    assert score(model, random_ids(0, 0), stream_segments([0, 0], 8)) == 0.0
    assert score(model, [], []) == 0.0


def test_score_progress_adds_up_to_the_tokens(model):
    documents = random_ids(*range(60), 40)
    reports: list[int] = []

    score(model, documents, stream_segments(lengths_of(documents), 8), progress=reports.append)

    assert sum(reports) == sum(lengths_of(documents))
    reports.clear()
    score(model, documents, window_segments(lengths_of(documents), 9, 2), progress=reports.append)
    assert sum(reports) == sum(lengths_of(documents))


@pytest.mark.parametrize("training", [True, False])
def test_score_runs_without_dropout_and_restores_the_mode(training):
    model = models.build(LstmConfig(hidden_size=16, dropout=0.5), 11).train(training)
    documents = random_ids(30)

    total = score(model, documents, stream_segments([30], 8))

    assert total == pytest.approx(naive(model, documents), rel=1e-5)
    assert model.training is training
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_score_in_bf16_and_int8_is_close_to_fp32(model, precision):
    documents = random_ids(60, 41)
    segments = stream_segments([60, 41], 8)

    fp32, other = (score(model, documents, segments, kind) for kind in ("fp32", precision))

    assert other != fp32
    assert other == pytest.approx(fp32, rel=0.02)


def test_score_bounds_the_logits_of_a_call(model, monkeypatch):
    documents = random_ids(60, 13, 41)
    segments = stream_segments(lengths_of(documents), 8, segments=1)
    expected = score(model, documents, segments)
    sizes = []
    model.register_forward_hook(lambda model, arguments, output: sizes.append(output[0].numel()))

    monkeypatch.setattr(scoring, "MAX_LOGITS", 3 * 7 * model.vocab_size)
    assert score(model, documents, segments) == pytest.approx(expected, rel=1e-5)
    assert max(sizes) == 3 * 7 * model.vocab_size
    monkeypatch.setattr(scoring, "MAX_LOGITS", 1)  # a token at a time is the least
    assert score(model, documents, segments) == pytest.approx(expected, rel=1e-5)


def test_score_ignores_the_callers_autocast(model):
    documents = random_ids(60)
    expected = score(model, documents, stream_segments([60], 8))

    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert score(model, documents, stream_segments([60], 8)) == expected
