"""The settings of word vectors."""

from __future__ import annotations

import pytest

from seqgen.embeddings.config import EmbeddingTrainingConfig


@pytest.mark.parametrize(
    ("settings", "epochs"),
    [({}, 5), ({"epochs": 2}, 2), ({"max_time": 9.0}, None), ({"epochs": 2, "max_time": 9.0}, 2)],
)
def test_total_epochs_is_five_without_epochs_and_max_time(settings, epochs):
    assert EmbeddingTrainingConfig(**settings).total_epochs == epochs
