from __future__ import annotations

import pytest

from seqgen.errors import ConfigError
from seqgen.generation.config import SamplingConfig


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
