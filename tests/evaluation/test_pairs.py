"""Scores of pairs against one forward for each pair."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from seqgen.data.pairs import Pairs, Sequences
from seqgen.evaluation import pairs as module
from seqgen.evaluation.pairs import evaluate_pairs, score_pairs
from seqgen.evaluation.report import TextSize

from ..conftest import TRANSLATORS, build_model

SIZE = TextSize(characters=30, bytes=40, unknown=0, unk_cost=0.0)


def random_pairs(number: int = 9) -> Pairs:
    generator = np.random.default_rng(0)
    return Pairs(
        *(Sequences.of([generator.integers(1, 11, generator.integers(1, 9)) for _ in range(number)]) for _ in range(2))
    )


def nats_alone(model, source, target) -> float:
    """Score a pair by the forward of one row without fillers."""
    with torch.no_grad():
        state = model.encode(torch.tensor([source.tolist()]), torch.tensor([len(source)]), len(target) + 1)
        logits, _ = model(torch.tensor([[0, *target.tolist()]]), state)
    return float(F.cross_entropy(logits[0], torch.tensor([*target.tolist(), 0]), reduction="sum"))


@pytest.mark.parametrize("name", TRANSLATORS)
@pytest.mark.parametrize("rows", [256, 2])
def test_score_of_each_pair_is_that_of_the_pair_alone(monkeypatch, name, rows):
    monkeypatch.setattr(module, "ROWS", rows)
    model, pairs = build_model(name), random_pairs()

    nats = score_pairs(model, pairs)

    expected = [nats_alone(model, pairs.sources[number], pairs.targets[number]) for number in range(len(pairs))]
    np.testing.assert_allclose(nats, expected, rtol=1e-5)


def test_batches_keep_to_the_limit_of_logits(monkeypatch):
    model, pairs = build_model("gru-translate"), random_pairs()
    expected = score_pairs(model, pairs)
    longest = 1 + int(pairs.targets.lengths.max())
    monkeypatch.setattr(module, "MAX_LOGITS", 2 * longest * model.vocab_size)
    sizes = []
    model.head.register_forward_hook(lambda _, inputs, out: sizes.append(out.numel()))

    nats = score_pairs(model, pairs)

    assert max(sizes) <= 2 * longest * model.vocab_size
    assert len(sizes) == 5
    np.testing.assert_allclose(nats, expected, rtol=1e-5)


def test_sources_are_cut_to_what_the_model_reads():
    model, pairs = build_model("lstm-translate"), random_pairs()
    model.config = model.config.model_copy(update={"max_source_length": 3})

    nats = score_pairs(model, pairs)

    np.testing.assert_allclose(nats, score_pairs(model, pairs.cut_sources(3)), rtol=1e-5)
    alone = nats_alone(model, pairs.sources[0][:3], pairs.targets[0])
    assert nats[0] == pytest.approx(alone, rel=1e-5)


def test_evaluation_is_the_sum_over_targets_and_their_ends():
    model, pairs = build_model("transformer-translate"), random_pairs()
    counted = []

    found = evaluate_pairs(model, pairs, SIZE, progress=counted.append)

    assert found.tokens == sum(counted) == int(pairs.targets.lengths.sum()) + 9
    assert found.nats == pytest.approx(score_pairs(model, pairs).sum(), rel=1e-9)
    assert found.bits_per_byte == pytest.approx(found.nats / math.log(2) / 40)


def test_scores_ignore_training_mode_and_the_callers_autocast():
    model, pairs = build_model("lstm-translate"), random_pairs()
    model.dropout.p = 0.5
    expected = score_pairs(model, pairs)
    model.train()

    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = score_pairs(model, pairs)

    assert np.array_equal(found, expected)
    assert model.training


def test_no_pairs_have_no_scores():
    empty = Pairs(Sequences.of([]), Sequences.of([]))

    assert score_pairs(build_model("gru-translate"), empty).tolist() == []
