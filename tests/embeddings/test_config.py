"""The settings of word vectors."""

from __future__ import annotations

import pytest

from seqgen.embeddings.config import EmbeddingTrainingConfig


@pytest.mark.parametrize(
    ("settings", "epochs"),
    [({}, 5), ({"epochs": 2}, 2), ({"max_time": 9.0}, None), ({"epochs": 2, "max_time": 9.0}, 2)],
)
def test_epochs_are_five_where_neither_they_nor_the_time_are_given(settings, epochs):
    assert EmbeddingTrainingConfig(**settings).total_epochs == epochs
