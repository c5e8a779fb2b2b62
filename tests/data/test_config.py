from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from seqgen.data.config import DataConfig
from seqgen.errors import ConfigError
from seqgen.sources.config import absolute


def test_default_config_chooses_the_split_by_the_text():
    config = DataConfig()

    assert (config.text, config.valid_split, config.valid_share) == (("corpus:pydoc",), "auto", None)


@pytest.mark.parametrize("split", ["blocks", "tail"])
def test_validation_file_and_split_exclude_each_other(split):
    with pytest.raises(ConfigError, match=r"^valid: .*split"):
        DataConfig.of(valid="valid.txt", valid_split=split)


def test_validation_file_implies_no_split():
    assert DataConfig.of(valid="valid.txt", valid_split="none").valid == "valid.txt"
    assert DataConfig.of(valid="valid.txt").valid_split == "none"


@pytest.mark.parametrize("share", [0.0, 0.5, -0.1, float("nan")])
def test_share_is_between_zero_and_half(share):
    with pytest.raises(ConfigError, match="valid_share: should be"):
        DataConfig.of(valid_share=share)


def test_unknown_split_is_refused():
    with pytest.raises(ConfigError, match=r"valid_split: should be 'auto', .* or 'none', not 'head'"):
        DataConfig.of(valid_split="head")


@pytest.mark.parametrize("config", [DataConfig(), DataConfig(valid="v.txt"), DataConfig(valid_split="tail")])
def test_config_round_trips_through_json(config):
    assert DataConfig.from_json(config.model_dump_json(), "config.json") == config


@pytest.mark.skipif(os.name == "nt", reason="there, a folder that somebody is in cannot be removed")
def test_name_is_unchanged_in_a_removed_folder(tmp_path, monkeypatch):
    assert absolute("a.txt") == str(Path.cwd() / "a.txt")
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()

    assert absolute("a.txt") == "a.txt"


@pytest.mark.parametrize(
    "text", [5, None, ["a.txt", 5], ["a.txt", None], [["a.txt"]], [{"a": "b"}], [True], {"a": 1}, []]
)
def test_text_must_be_a_string(text):
    with pytest.raises(ConfigError, match=r"^text"):
        DataConfig.of(text=text)
    with pytest.raises(ConfigError, match=r"^config\.json: text"):
        DataConfig.from_json(json.dumps({"text": text}), "config.json")


@pytest.mark.parametrize("name", ["valid", "cache_dir", "encoding", "glob", "exclude", "field"])
def test_other_names_must_be_strings(name):
    several = name in {"glob", "exclude"}
    for value in (5, [5] if several else ["a.txt"], True):
        with pytest.raises(ConfigError, match=rf"^config\.json: {name}"):
            DataConfig.from_json(json.dumps({name: value}), "config.json")


@pytest.mark.parametrize("text", ["a.txt", Path("a.txt"), ["a.txt"], (Path("a.txt"),)])
def test_text_may_be_a_path(text):
    assert DataConfig.of(text=text).text == ("a.txt",)
