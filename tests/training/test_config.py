from __future__ import annotations

import pytest

from seqgen.errors import ConfigError
from seqgen.models.registry import FAMILIES
from seqgen.runs.config import resolve_settings
from seqgen.training.config import TrainingConfig
from seqgen.training.presets import preset_for

from ..small_runs import NEURAL


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("90s", 90.0), ("2m", 120.0), ("1h30m", 5400.0), ("1.5h", 5400.0), ("90", 90.0), (45, 45.0), (0.5, 0.5)],
)
def test_parse_duration_accepts_units(written, seconds):
    assert TrainingConfig.of(max_time=written).max_time == seconds


@pytest.mark.parametrize("written", ["", "soon", "nan", "5 minutes", "1h-3m", "-5s", 0, -1.0, True, None.__class__])
def test_invalid_duration_is_refused_by_name(written):
    with pytest.raises(ConfigError, match="max_time"):
        TrainingConfig.of(max_time=written)


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("seed", 0, 2**63 - 1),
        ("warmup_steps", 0, 2**63 - 1),
        ("max_steps", 1, 2**63 - 1),
        ("batch_size", 1, 2**63 - 1),
        ("threads", 1, 1024),
    ],
)
def test_integers_are_accepted_within_their_limits_only(name, least, most):
    for value in (least, most):
        assert getattr(TrainingConfig.of(**{name: value}), name) == value
    for value in (least - 1, most + 1):
        with pytest.raises(ConfigError, match=name):
            TrainingConfig.of(**{name: value})


@pytest.mark.parametrize("name", ["max_epochs", "lr", "clip_grad_norm"])
def test_zero_is_refused_where_nothing_would_be_trained(name):
    with pytest.raises(ConfigError, match=name):
        TrainingConfig.of(**{name: 0.0})


def test_every_cell_has_a_valid_preset_for_each_optimizer():
    for cell, family in ((cell, FAMILIES[cell]) for cell in NEURAL):
        for presets in (family.presets, family.short_presets, *(own for _, own in family.long_presets)):
            assert presets is None or presets.keys() == {"muon", "adamw"}
        for optimizer in family.presets:
            resolve_settings({"cell": cell, "optimizer": optimizer})


@pytest.mark.parametrize("optimizer", [None, "muon", "adamw"])
@pytest.mark.parametrize("cell", NEURAL)
def test_preset_for_depends_on_the_time(cell, optimizer):
    asked = {} if optimizer is None else {"optimizer": optimizer}

    def expected(presets):
        presets = presets or family.presets
        used = optimizer or next(iter(presets))
        return {"optimizer": used, **presets[used]}

    family = FAMILIES[cell]
    short, usual = expected(family.short_presets), expected(family.presets)
    for time, preset in {1: short, "29s": short, "30s": usual, "4m": usual}.items():
        assert preset_for(cell, {"max_time": time, **asked}) == preset
    before = usual
    for seconds, own in family.long_presets or ((300, family.presets), (86_400, family.presets)):
        assert preset_for(cell, {"max_time": seconds - 1, **asked}) == before
        assert preset_for(cell, {"max_time": seconds, **asked}) == (before := expected(own))
    for settings in ({}, {"max_steps": 10**6}, {"max_time": "1h", "hidden_size": 64}, {"max_time": 5, "layers": 2}):
        assert preset_for(cell, {**settings, **asked}) == usual


def test_learning_rate_depends_on_the_optimizer():
    """The measured presets; a cell whose preset is a copy is not here."""

    def rates(**settings):
        return [
            resolve_settings({"cell": cell, **settings}).training.lr for cell in ("rnn", "lstm", "gru", "transformer")
        ]

    assert rates(optimizer="muon") == [0.01, 0.012, 0.016, 0.006]
    assert rates(optimizer="adamw") == [0.005, 0.012, 0.008, 0.003]
    assert rates() == [0.01, 0.012, 0.008, 0.006]
    assert rates(optimizer="adamw", lr=0.5) == [0.5] * 4


@pytest.mark.parametrize(
    ("settings", "optimizers"),
    [
        ({}, ["muon", "muon", "adamw", "muon"]),
        ({"max_time": "2s"}, ["muon", "adamw", "adamw", "muon"]),
        ({"max_time": "2s", "hidden_size": 64}, ["muon", "muon", "adamw", "muon"]),
        ({"max_time": "10m"}, ["muon", "muon", "adamw", "muon"]),
    ],
    ids=str,
)
def test_default_optimizer_depends_on_cell_and_time(settings, optimizers):
    cells = ("rnn", "lstm", "gru", "transformer")

    assert [resolve_settings({"cell": cell, **settings}).training.optimizer for cell in cells] == optimizers


@pytest.mark.parametrize("betas", [(2.0, 0.9), (0.9, 1.0), (-0.1, 0.9)])
def test_betas_are_shares(betas):
    with pytest.raises(ConfigError, match="adam_betas"):
        TrainingConfig.of(adam_betas=betas)
