"""Mixtures: what the laws of all models do not say."""

from __future__ import annotations

import pytest
import torch

from seqgen import models
from seqgen.models.base import IGNORED, parameter_count
from seqgen.models.config import LstmConfig, TransformerConfig, WindowConfig
from seqgen.models.mixture import MixtureModel, mix_log_probs
from seqgen.models.registry import MixtureConfig

from ..conftest import build_model

WEIGHTS = [0.7, 0.3]


@pytest.fixture(autouse=True)
def _no_grad():
    with torch.no_grad():
        yield


@pytest.fixture
def mixture() -> MixtureModel:
    """A mixture with unequal weights."""
    model = build_model("lstm+transformer")
    model.weights.copy_(torch.tensor(WEIGHTS))
    return model


def test_log_probs_are_the_weighted_mean_of_the_members(mixture):
    tokens = torch.randint(1, 11, (2, 12))
    alone = [member.log_probs(tokens)[0].double().exp() for member in mixture.members.values()]
    expected = WEIGHTS[0] * alone[0] + WEIGHTS[1] * alone[1]

    mixed, _ = mixture.log_probs(tokens)
    last, _ = mixture.last_logits(tokens, mixture.initial_state(2, 12))

    torch.testing.assert_close(mixed.double().exp(), expected, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(last, mixed[:, -1], rtol=1e-5, atol=1e-5)


def test_steppers_have_the_weights(mixture):
    token = torch.tensor([3, 5])
    expected, _ = mixture(token[:, None], mixture.initial_state(2, 4))

    logits, _ = mixture.stepper().step(token, mixture.initial_state(2, 4))

    torch.testing.assert_close(logits, expected[:, 0], rtol=1e-5, atol=1e-5)
    assert torch.allclose(logits.exp().sum(-1), torch.ones(2))


@pytest.mark.xdist_group("numba")  # one worker compiles for all
def test_numba_stepper_compiles_the_members_that_it_can():
    pytest.importorskip("numba")
    config = MixtureConfig(
        members={"lstm": LstmConfig(hidden_size=16), "window": WindowConfig(hidden_size=16, context_size=4)}
    )
    model, token = models.build(config, 11).eval(), torch.tensor([3])
    expected, _ = model.stepper().step(token, model.initial_state(1, 4))

    stepper = model.stepper("fp32", "numba")
    logits, _ = stepper.step(token, stepper.select(model.initial_state(1, 4), torch.tensor([0])))

    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)


def test_burn_in_is_the_largest_and_positions_the_smallest():
    transformers = {
        f"transformer-{size}": TransformerConfig(
            hidden_size=16, layers=1, heads=2, block_size=size, positions="sinusoidal"
        )
        for size in (32, 16)
    }
    model = models.build(MixtureConfig(members={"window": WindowConfig(), "lstm": LstmConfig(), **transformers}), 11)

    assert model.max_positions == 16
    assert model.burn_in == max(member.burn_in for member in model.members.values()) == 256
    assert models.build(MixtureConfig(members={"lstm": LstmConfig(), "gru": LstmConfig()}), 11).max_positions is None


def test_parameters_are_those_of_the_members(mixture):
    assert parameter_count(mixture) == sum(map(parameter_count, mixture.members.values()))


def test_ignored_targets_cost_exactly_nothing(mixture):
    tokens = torch.randint(1, 11, (2, 12))
    nats, _ = mixture.nats(tokens, torch.full_like(tokens, IGNORED))

    assert torch.equal(nats, torch.zeros_like(nats))


def test_mix_log_probs_is_exact_where_a_member_gives_no_probability():
    parts = [torch.tensor(part, dtype=torch.float64) for part in ([-torch.inf, -1.0], [-2.0, -torch.inf])]

    mixed = mix_log_probs(parts, torch.tensor([0.25, 0.75], dtype=torch.float64))

    expected = torch.tensor([0.75, 0.25], dtype=torch.float64).log() + torch.tensor([-2.0, -1.0])
    torch.testing.assert_close(mixed, expected, rtol=0, atol=1e-15)


def test_mix_log_probs_has_the_narrowest_dtype():
    parts = [torch.tensor([-1.0]), torch.tensor([-2.0], dtype=torch.float64)]

    assert mix_log_probs(parts, torch.tensor([0.5, 0.5])).dtype == torch.float32


def test_mix_log_probs_of_improbable_tokens_does_not_underflow():
    mixed = mix_log_probs([torch.tensor([-2000.0]), torch.tensor([-3000.0])], torch.tensor([0.5, 0.5]))

    assert float(mixed) == pytest.approx(-2000.69315)
