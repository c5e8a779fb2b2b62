"""The Bayes update of a mixture's weights against a plain loop, and readers of mixtures."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from seqgen.data.documents import Documents
from seqgen.evaluation.adaptation.adaptive import adaptive
from seqgen.evaluation.adaptation.config import AdaptationConstants
from seqgen.evaluation.adaptation.mixture import DynamicShares, MixtureReader
from seqgen.evaluation.adaptation.reader import StaticReader
from seqgen.evaluation.adaptation.stream import stream_of
from seqgen.models.mixture import MixtureModel

from ...conftest import build_model

CONSTANTS = AdaptationConstants(rate=0.02, decay=0.05, segment=7, prior=5.0, memory=20.0)
STREAM = stream_of(
    Documents.of(
        [
            np.random.default_rng(seed).integers(1, 11, length).astype(np.int32)
            for seed, length in enumerate((21, 1, 30))
        ],
        ends=True,
    )
)


@pytest.fixture
def mixture() -> MixtureModel:
    model = build_model("lstm+transformer").double()
    assert isinstance(model, MixtureModel)
    model.weights.copy_(torch.tensor([0.7, 0.3], dtype=torch.float64))
    return model


def plain(
    rows: np.ndarray, inputs: np.ndarray, trained: list[float], prior: float, memory: float, *, reset: bool
) -> list[float]:
    """Weigh what was explained by how long ago it was read."""
    found, explained = [], []
    for place in range(len(inputs)):
        if reset and inputs[place] == 0:
            explained = []
        ages = range(len(explained), 0, -1)
        counts = [
            prior * one
            + math.fsum(part[member] * (1 - 1 / memory) ** (age - 1) for part, age in zip(explained, ages, strict=True))
            for member, one in enumerate(trained)
        ]
        joint = [count / sum(counts) * math.exp(-cost) for count, cost in zip(counts, rows[:, place], strict=True)]
        found.append(-math.log(sum(joint)))
        explained.append([one / sum(joint) for one in joint])
    return found


@pytest.mark.parametrize("reset", [False, True])
def test_shares_are_posterior_means_of_what_members_explained(reset):
    inputs = STREAM[0]
    rows = np.random.default_rng(0).exponential(2.0, (3, len(inputs)))
    shares = DynamicShares([0.5, 0.2, 0.3], 5.0, 20.0, reset=reset)

    found = [shares.nats(rows[:, :19], inputs[:19]), shares.nats(rows[:, 19:], inputs[19:])]

    expected = plain(rows, inputs, [0.5, 0.2, 0.3], 5.0, 20.0, reset=reset)
    np.testing.assert_allclose(np.concatenate(found), expected, rtol=1e-12)
    assert sum(shares.shares) == pytest.approx(1.0)


def test_shares_before_the_text_are_the_trained_ones():
    assert DynamicShares([0.25, 0.75], 5.0, 20.0).shares == [0.25, 0.75]


def test_shares_of_costs_beyond_the_range_of_exp_are_finite():
    shares = DynamicShares([0.5, 0.5], 1.0, 100.0)

    assert shares.learn([2000.0, 2001.0]) == pytest.approx(2000.0 - math.log(0.5 + 0.5 * math.exp(-1.0)))


@pytest.mark.parametrize("reset", [False, True])
def test_mixture_reader_gives_the_same_numbers_for_parts_and_single_tokens(mixture, reset):
    inputs, targets = STREAM
    whole, parts, tokens = (adaptive(mixture, "all", CONSTANTS, cache=True, reset=reset) for _ in range(3))

    expected = whole.nats(inputs, targets)

    found = np.concatenate([parts.nats(inputs[:10], targets[:10]), parts.nats(inputs[10:], targets[10:])])
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    one_by_one = []
    tokens.read(0)
    for target in targets.tolist():
        assert np.logaddexp.reduce(tokens.log_probs()) == pytest.approx(0.0, abs=1e-9)
        one_by_one.append(-tokens.log_probs()[target])
        tokens.read(target)
    np.testing.assert_allclose(one_by_one, expected, rtol=1e-9)


def test_members_learn_from_their_own_loss(mixture):
    expected = [adaptive(member, "all", CONSTANTS).nats(*STREAM) for member in mixture.members.values()]

    found = adaptive(mixture, "all", CONSTANTS).nats(*STREAM)

    rows = np.stack(expected)
    np.testing.assert_allclose(found, plain(rows, STREAM[0], [0.7, 0.3], 5.0, 20.0, reset=False), rtol=1e-9)


def test_model_of_a_mixture_has_the_adapted_members_and_weights(mixture):
    reader = adaptive(mixture, "all", CONSTANTS)
    reader.nats(*STREAM)

    adapted = reader.model()

    assert isinstance(adapted, MixtureModel)
    assert adapted.weights.tolist() != mixture.weights.tolist()
    assert adapted.weights.sum().item() == pytest.approx(1.0)
    before, after = (StaticReader(one).nats(*STREAM).sum() for one in (mixture, adapted))
    assert after < before
    assert mixture.weights.tolist() == [0.7, 0.3]


def test_model_of_a_mixture_has_its_weights_on_the_device_of_the_mixture(mixture):
    readers = {name: StaticReader(member) for name, member in mixture.members.items()}
    reader = MixtureReader(mixture.to("meta"), readers, DynamicShares([0.5, 0.5], 5.0, 20.0))

    assert reader.model().device.type == "meta"
