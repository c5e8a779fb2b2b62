"""The settings of `seqgen.train`, sorted into configs."""

from __future__ import annotations

import pytest

from seqgen.errors import ConfigError
from seqgen.runs.config import resolve_settings, train_settings


def test_train_settings_have_a_description_and_a_group():
    settings = train_settings()

    assert {"cell", "tokenizer", "vocab_size", "valid", "lr", "out", "resume"} <= settings.keys()
    assert settings.keys().isdisjoint({"text", "kind", "raw", "tokenizer_from"})
    assert all(made.description.endswith(".") and made.group for made in settings.values())
    assert "directory" in settings["tokenizer"].description


def test_resolve_settings_sorts_settings_into_configs():
    model = {"cell": "gru", "hidden_size": 8}
    request = resolve_settings(
        {**model, "tokenizer": "bpe", "vocab_size": "300", "valid_split": "tail", "max_time": "90s"}
    )

    assert (request.model.cell, request.model.hidden_size) == ("gru", 8)
    assert (request.tokenizer.kind, request.tokenizer.vocab_size) == ("bpe", 300)
    assert (request.data.valid_split, request.training.max_time) == ("tail", 90.0)


def test_resolve_settings_trains_lstm_for_two_minutes_by_default():
    request = resolve_settings({})

    assert (request.model.cell, request.training.max_time, request.tokenizer.kind) == ("lstm", 120.0, "char")
    assert resolve_settings({"max_steps": 5}).training.max_time is None
    assert resolve_settings({"encoding": "bytes"}).tokenizer.raw


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"cell": "mamba"}, "cell: .*mamba.*lstm"),
        ({"cell": "transformer", "bptt": 8}, "bptt: .*block-size"),
        ({"character_coverage": 0.99}, "character_coverage: .*unigram"),
        ({"allow_unknown": True}, "allow_unknown: .*--init-from"),
        ({"valid_split": "none", "valid_share": 0.1}, "valid_share: "),
        ({"valid_split": "none", "patience": 2}, "patience: "),
        ({"tokenizer": 5}, "tokenizer: .*5"),
        ({"tokenizer": "wordpiece"}, "tokenizer: .*wordpiece.*unigram"),
        ({"heads": 2}, "heads: lstm .*transformer"),
        ({"hiden_size": 3}, "hiden_size: .*hidden_size"),
        ({"zzz": 3}, "zzz: unknown setting$"),
    ],
)
def test_resolve_settings_refuses_setting_by_name(settings, words):
    with pytest.raises(ConfigError, match=words):
        resolve_settings(settings)
