from __future__ import annotations

import pytest

from seqgen.errors import ConfigError
from seqgen.evaluation.config import EvaluationConfig


def test_evaluation_config_carries_the_state_by_default():
    config = EvaluationConfig()

    assert (config.context_window, config.stride, config.sequential, config.precision) == (None, None, False, "fp32")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"stride": 4}, "stride: needs a context_window"),
        ({"stride": 9, "context_window": 8}, "stride: 9 is more than the context_window 8"),
        (
            {"sequential": True, "context_window": 8},
            "sequential: cannot be combined with context_window",
        ),
        ({"context_window": 0}, "context_window: should be greater than or equal to 1, not 0"),
        ({"dynamic": "all", "context_window": 8}, "context_window: cannot be combined with dynamic"),
        ({"cache": True, "sequential": True}, "sequential: cache"),
        ({"dynamic": "weights", "precision": "bf16"}, "precision: dynamic computes in fp32, not in bf16"),
        ({"dynamic_reset": "document"}, "dynamic_reset: needs dynamic or cache"),
        ({"context_window": 8, "stride": 0}, "stride: should be greater than or equal to 1, not 0"),
    ],
)
def test_evaluation_config_refuses_contradictions(values, message):
    with pytest.raises(ConfigError) as refusal:
        EvaluationConfig.of(**values)

    assert str(refusal.value).startswith(message)


@pytest.mark.parametrize("stride", [1, 7, 8, None])
def test_stride_may_be_at_most_the_window(stride):
    assert EvaluationConfig.of(context_window=8, stride=stride).stride == stride
