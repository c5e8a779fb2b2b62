"""The settings of `seqgen.train`, sorted into configs."""

from __future__ import annotations

import json

import pytest

from seqgen.errors import ConfigError
from seqgen.models.registry import FAMILIES
from seqgen.runs.config import RunConfig, resolve_settings, train_settings, training_time

from ..small_runs import NEURAL, run_config


def test_train_settings_have_a_description_and_a_group():
    settings = train_settings()

    assert {"cell", "tokenizer", "vocab_size", "valid", "lr", "out", "resume"} <= settings.keys()
    assert settings.keys().isdisjoint({"text", "kind", "raw", "tokenizer_from"})
    assert all(made.description.endswith(".") and made.group for made in settings.values())
    assert "directory" in settings["tokenizer"].description


def test_resolve_settings_sorts_settings_into_configs():
    model = {"cell": "gru", "hidden_size": 8}
    resolved = resolve_settings(
        {**model, "tokenizer": "bpe", "vocab_size": "300", "valid_split": "tail", "max_time": "90s"}
    )

    assert (resolved.model.cell, resolved.model.hidden_size) == ("gru", 8)
    assert (resolved.tokenizer.kind, resolved.tokenizer.vocab_size) == ("bpe", 300)
    assert (resolved.data.valid_split, resolved.training.max_time) == ("tail", 90.0)


def test_resolve_settings_trains_lstm_for_two_minutes_by_default():
    resolved = resolve_settings({})

    assert (resolved.model.cell, resolved.training.max_time, resolved.tokenizer.kind) == ("lstm", 120.0, "char")
    assert resolve_settings({"max_steps": 5}).training.max_time is None
    assert resolve_settings({"encoding": "bytes"}).tokenizer.raw


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"cell": "mamba"}, "cell: .*mamba.*lstm"),
        ({"cell": "mamba", "task": "tag"}, "cell: .*mamba.*lstm"),
        ({"cell": "ngram", "task": "translate"}, "cell: ngram is for texts.*--task translate.*lstm"),
        ({"cell": "lstm+ngram", "task": "classify"}, "cell: ngram is for texts.*--task classify.*lstm"),
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
        ({"cell": "transformer", "gru_reset": "after"}, "gru_reset: transformer .*gru"),
        ({"hidden_size": 1.5}, "hidden_size: "),
        ({"seed": True}, "seed: "),
        ({"max_time": "soon"}, "max_time: .*soon"),
    ],
)
def test_resolve_settings_refuses_setting_by_name(settings, words):
    with pytest.raises(ConfigError, match=words):
        resolve_settings(settings)


def test_long_preset_sets_the_model_and_settings_override_it():
    resolved = resolve_settings({"max_time": "10m", "dropout": 0.2, "lr": 0.001})

    long = FAMILIES["lstm"].long_presets[0][1]["muon"]
    assert (resolved.model.hidden_size, resolved.model.layers) == (long["hidden_size"], long["layers"])
    assert (resolved.model.dropout, resolved.training.lr) == (0.2, 0.001)
    assert resolved.training.bptt == long["bptt"]
    assert (
        resolve_settings({"max_time": "10m"}, from_weights=True).training.lr == FAMILIES["lstm"].presets["muon"]["lr"]
    )


@pytest.mark.parametrize("cell", NEURAL)
def test_cell_preset_applies_and_settings_override_it(cell):
    for optimizer, preset in FAMILIES[cell].presets.items():
        chosen = resolve_settings({"cell": cell, "optimizer": optimizer}).training
        assert (chosen.optimizer, chosen.lr, chosen.batch_size) == (optimizer, preset["lr"], preset["batch_size"])
        assert resolve_settings({"cell": cell, "optimizer": optimizer, "lr": 0.5}).training.lr == 0.5


def test_resolve_settings_does_not_change_its_argument():
    settings = {"cell": "gru", "tokenizer": "byte", "lr": 0.1}

    resolve_settings(settings)

    assert settings == {"cell": "gru", "tokenizer": "byte", "lr": 0.1}


def test_tokenizer_directory_excludes_tokenizer_settings(tmp_path):
    assert resolve_settings({"tokenizer": str(tmp_path)}).tokenizer_from == str(tmp_path)
    with pytest.raises(ConfigError, match="character_coverage, vocab_size"):
        resolve_settings({"tokenizer": str(tmp_path), "vocab_size": 300, "character_coverage": 0.99})


def test_tokenizer_is_chosen_by_the_text_unless_one_is_given():
    for settings, auto in (({}, True), ({"tokenizer": "auto"}, True), ({"tokenizer": "char"}, False)):
        assert resolve_settings(settings).auto is auto
    assert not resolve_settings({}, from_weights=True).auto
    for settings in ({"encoding": "bytes"}, {"encoding": "bytes", "tokenizer": "auto"}):
        resolved = resolve_settings(settings)
        assert (resolved.tokenizer.kind, resolved.auto) == ("byte", False)


@pytest.mark.parametrize(
    ("settings", "seconds"),
    [
        ({}, 120.0),
        ({"lr": 0.1}, 120.0),
        ({"max_time": "5m"}, 300.0),
        ({"max_steps": 5}, None),
        ({"max_epochs": 1}, None),
        ({"max_steps": 5, "max_time": 9}, 9.0),
    ],
)
def test_training_time_is_none_where_steps_set_the_length(settings, seconds):
    assert training_time(settings) == seconds


@pytest.mark.parametrize("name", ["vocab_size", "character_coverage"])
def test_auto_tokenizer_refuses_settings_of_one_kind(name):
    with pytest.raises(ConfigError, match=f"{name}: .*--tokenizer bpe"):
        resolve_settings({name: 1000})


def test_identity_depends_only_on_what_determines_the_weights():
    config = run_config()
    same = {"max_steps": 9, "precision": "fp32", "device": "cuda", "save_every": 1.0, "on_save_error": "stop"}
    assert config.model_copy(update={"training": config.training.model_copy(update=same)}).identity == config.identity
    assert config.model_copy(update={"created": "then", "seqgen": "0"}).identity == config.identity

    cached = config.data.model_copy(update={"cache_dir": "elsewhere", "text": ("copy.txt",)})
    assert config.model_copy(update={"data": cached}).identity == config.identity

    changes = [
        ("training", {"seed": 1}),
        ("model", {"dropout": 0.5}),
        ("text", {"sha256": "1" * 64}),
        ("data", {"valid_split": "tail"}),
        ("data", {"valid_share": 0.1}),
    ]
    for part, change in changes:
        changed = config.model_copy(update={part: getattr(config, part).model_copy(update=change)})
        assert changed.identity != config.identity


def test_bptt_names_the_cells_that_do_not_train_on_windows():
    carrying, description = train_settings()["bptt"].description.split(": ")

    for cell in NEURAL:
        if cell in carrying.split(", "):
            assert resolve_settings({"cell": cell, "bptt": 8}).training.bptt == 8
            assert resolve_settings({"cell": cell}).training.bptt == 64
        else:
            with pytest.raises(ConfigError, match="bptt"):
                resolve_settings({"cell": cell, "bptt": 8})
    assert description.startswith("number of tokens")


def test_model_of_another_task_is_refused():
    content = json.loads(run_config().to_json())
    content["data"]["task"] = "translate"

    with pytest.raises(ConfigError, match="lstm is not a model of --task translate"):
        RunConfig.from_json(json.dumps(content).encode(), "config.json")


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru", "transformer"])
def test_preset_of_an_encoder_decoder_applies(cell):
    family = FAMILIES[f"{cell}-translate"]
    first = next(iter(family.presets.values()))
    size = {"hidden_size": first["hidden_size"]} if "hidden_size" in first else {}
    assert resolve_settings({"task": "translate", "cell": cell}).model == family.config(**size)

    for optimizer, preset in family.presets.items():
        settings = {"task": "translate", "cell": cell, "optimizer": optimizer}
        training = resolve_settings(settings).training
        assert (training.optimizer, training.lr, training.batch_size) == (optimizer, preset["lr"], preset["batch_size"])
        assert resolve_settings({**settings, "lr": 0.25}).training.lr == 0.25
