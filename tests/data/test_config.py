from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from seqgen.data.config import DataConfig
from seqgen.errors import ConfigError
from seqgen.sources.config import absolute


def test_the_default_withholds_five_percent_spread():
    config = DataConfig()

    assert (config.text, config.valid_split, config.valid_share) == (("corpus:pydoc",), "blocks", None)


@pytest.mark.parametrize("split", ["blocks", "tail"])
def test_a_validation_file_and_a_split_exclude_each_other(split):
    with pytest.raises(ConfigError, match=r"^valid: a file of its own and a split of the text cannot both be"):
        DataConfig.of(valid="valid.txt", valid_split=split)


def test_a_validation_file_goes_with_no_split():
    assert DataConfig.of(valid="valid.txt", valid_split="none").valid == "valid.txt"
    assert DataConfig.of(valid="valid.txt").valid_split == "none"


@pytest.mark.parametrize("share", [0.0, 0.5, -0.1, float("nan")])
def test_a_share_lies_between_nothing_and_half(share):
    with pytest.raises(ConfigError, match="valid_share: should be"):
        DataConfig.of(valid_share=share)


def test_an_unknown_split_is_refused():
    with pytest.raises(ConfigError, match=r"valid_split: should be 'blocks', .* or 'none', not 'head'"):
        DataConfig.of(valid_split="head")


@pytest.mark.parametrize("config", [DataConfig(), DataConfig(valid="v.txt"), DataConfig(valid_split="tail")])
def test_a_config_comes_back_from_its_json(config):
    assert DataConfig.from_json(config.model_dump_json(), "config.json") == config


@pytest.mark.skipif(os.name == "nt", reason="there, a folder that somebody is in cannot be removed")
def test_in_a_folder_that_was_removed_a_name_stays_as_it_is(tmp_path, monkeypatch):
    assert absolute("a.txt") == str(Path.cwd() / "a.txt")
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()

    assert absolute("a.txt") == "a.txt"


@pytest.mark.parametrize(
    "text", [5, None, ["a.txt", 5], ["a.txt", None], [["a.txt"]], [{"a": "b"}], [True], {"a": 1}, []]
)
def test_a_text_is_named_by_a_string(text):
    with pytest.raises(ConfigError, match=r"^text"):
        DataConfig.of(text=text)
    with pytest.raises(ConfigError, match=r"^config\.json: text"):
        DataConfig.from_json(json.dumps({"text": text}), "config.json")


@pytest.mark.parametrize("name", ["valid", "cache_dir", "encoding", "glob", "exclude", "field"])
def test_so_is_every_other_name(name):
    several = name in {"glob", "exclude"}
    for value in (5, [5] if several else ["a.txt"], True):
        with pytest.raises(ConfigError, match=rf"^config\.json: {name}"):
            DataConfig.from_json(json.dumps({name: value}), "config.json")


@pytest.mark.parametrize("text", ["a.txt", Path("a.txt"), ["a.txt"], (Path("a.txt"),)])
def test_a_script_may_name_it_by_a_path(text):
    assert DataConfig.of(text=text).text == ("a.txt",)
