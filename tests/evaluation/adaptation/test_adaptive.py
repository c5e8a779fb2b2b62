"""What a model has that can learn, and what is refused."""

from __future__ import annotations

import pytest

from seqgen.errors import ConfigError
from seqgen.evaluation.adaptation.adaptive import adaptive, parts_of
from seqgen.evaluation.adaptation.reader import NeuralReader, StaticReader

from ...conftest import build_model


@pytest.mark.parametrize("name", ["window", "lstm+transformer"])
def test_parts_of_neural_models_are_weights(name):
    assert parts_of(build_model(name)) == ["weights"]


def test_adaptive_refuses_ngram_counts_of_a_model_without():
    with pytest.raises(ConfigError, match=r"dynamic: lstm.*weights"):
        adaptive(build_model("lstm"), "ngram")


def test_adaptive_of_nothing_is_a_static_reader():
    assert isinstance(adaptive(build_model("lstm"), None), StaticReader)


def test_adaptive_makes_a_cache_without_dynamic_weights():
    model = build_model("lstm")
    reader = adaptive(model, None, cache=True)

    assert isinstance(reader, NeuralReader)
    assert reader.model() is model
