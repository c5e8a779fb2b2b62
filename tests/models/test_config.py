"""The configs of model families: defaults, limits, and settings that do not go together."""

from __future__ import annotations

import pytest

from seqgen.errors import ConfigError
from seqgen.models.config import LstmConfig, TransformerConfig


def test_heads_must_divide_the_hidden_size():
    with pytest.raises(ConfigError, match=r"5 heads .* hidden_size 128 .* --hidden-size 130"):
        TransformerConfig.of(hidden_size=128, heads=5)


def test_tied_weights_need_one_size():
    with pytest.raises(ConfigError, match=r"embedding \(4\) and the hidden state \(8\)"):
        LstmConfig.of(hidden_size=8, embedding_size=4, tie_weights=True)


def test_transformer_config_defaults():
    config = TransformerConfig()

    assert (config.heads, config.block_size, config.positions) == (4, 64, "rope")


@pytest.mark.parametrize(
    ("config", "field", "smallest", "largest"),
    [
        (LstmConfig, "hidden_size", 1, 65_536),
        (LstmConfig, "layers", 1, 256),
        (TransformerConfig, "block_size", 2, 1_048_576),
    ],
)
def test_sizes_end_at_their_limits(config, field, smallest, largest):
    for value in (smallest, largest):
        assert getattr(config.of(**{field: value}), field) == value
    for value in (smallest - 1, largest + 1):
        with pytest.raises(ConfigError, match=field):
            config.of(**{field: value})


@pytest.mark.parametrize("value", [0, -3, 10**9, 1.5, "8", True])
def test_config_refuses_impossible_sizes_by_name(value):
    with pytest.raises(ConfigError, match="hidden_size"):
        LstmConfig.of(hidden_size=value)
