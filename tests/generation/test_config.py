from __future__ import annotations

import pytest

from seqgen.errors import ConfigError
from seqgen.generation.config import MAX_BEAM, MAX_LENGTH, BeamConfig, SamplingConfig


def test_sampling_config_defaults_to_temperature_alone():
    config = SamplingConfig()

    assert config.max_new_tokens == 500
    assert (config.temperature, config.top_k, config.top_p, config.min_p, config.stop) == (0.8, 0, 1.0, 0.0, ())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", -0.1),
        ("temperature", float("inf")),
        ("temperature", float("nan")),
        ("top_k", -1),
        ("top_k", 1.5),
        ("top_p", 0.0),
        ("top_p", 1.01),
        ("min_p", -0.1),
        ("min_p", 1.01),
        ("max_new_tokens", 0),
        ("seed", -1),
        ("seed", 2**63),
        ("stop", "a string"),
        ("precision", "int4"),
    ],
)
def test_sampling_config_refuses_impossible_values_by_name(field, value):
    with pytest.raises(ConfigError, match=f"^{field}: should be"):
        SamplingConfig.of(**{field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", 0),
        ("temperature", 1e-300),
        ("top_p", 1.0),
        ("min_p", 1.0),
        ("seed", 2**63 - 1),
        ("top_k", 10**9),
    ],
)
def test_sampling_config_allows_the_ends_of_ranges(field, value):
    assert getattr(SamplingConfig.of(**{field: value}), field) == value


def test_sampling_config_round_trips_through_json():
    config = SamplingConfig(stop=("\n\n", "한"), top_k=3)

    assert SamplingConfig.from_json(config.model_dump_json(), "here") == config


def test_beam_config_defaults_to_greedy_without_bounds():
    config = BeamConfig()

    assert (config.beam, config.n_best, config.length_penalty, config.coverage_penalty) == (1, 1, 0.6, 0.0)
    assert (config.no_repeat_ngram, config.min_length, config.max_length) == (0, 0, None)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("beam", 0),
        ("beam", MAX_BEAM + 1),
        ("n_best", 0),
        ("n_best", 2),  # more than the beam
        ("length_penalty", -0.1),
        ("length_penalty", 10.1),
        ("coverage_penalty", -0.1),
        ("coverage_penalty", 10.1),
        ("no_repeat_ngram", -1),
        ("min_length", -1),
        ("min_length", 30),  # not less than the maximum
        ("min_length", MAX_LENGTH + 1),
        ("max_length", 0),
        ("max_length", MAX_LENGTH + 1),
    ],
)
def test_beam_config_refuses_impossible_values_by_name(field, value):
    with pytest.raises(ConfigError, match=f"^{field}: should be"):
        BeamConfig.of(**{"max_length": 30, field: value})


@pytest.mark.parametrize(
    "settings",
    [
        {"beam": 3, "n_best": 3, "no_repeat_ngram": 1},
        {"beam": 1, "n_best": 1, "no_repeat_ngram": 0, "min_length": 0},
        {"length_penalty": 0.0, "coverage_penalty": 10.0},
        {"length_penalty": 10.0, "min_length": 29, "max_length": 30},
        {"max_length": 1},
        {"beam": MAX_BEAM, "n_best": MAX_BEAM, "max_length": MAX_LENGTH},
    ],
)
def test_beam_config_allows_the_ends_of_ranges(settings):
    assert BeamConfig.of(**settings).model_dump(exclude_unset=True) == settings


def test_max_lengths_are_twice_the_source_and_20():
    assert BeamConfig().max_lengths([0, 1, 30]) == [20, 22, 80]
    assert BeamConfig(min_length=40).max_lengths([9, 10, 30]) == [41, 41, 80]
    assert BeamConfig(max_length=7).max_lengths([1, 30]) == [7, 7]
