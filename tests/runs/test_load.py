"""Loading a run: from where it was moved, onto devices and threads, and with weights that are not its own."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

import seqgen
from seqgen.errors import ConfigError, RunError


def test_load_returns_model_tokenizer_and_config(run):
    assert isinstance(run.model, torch.nn.Module)
    assert not run.model.training
    assert run.tokenizer.decode(run.tokenizer.encode("The old king")) == "The old king"
    assert run.config.model.hidden_size == 16


def test_moved_run_can_be_loaded(run, corpus, tmp_path):
    moved = seqgen.load(run.path.rename(tmp_path / "moved"))
    try:
        assert moved.generate(max_new_tokens=5) == run.generate(max_new_tokens=5)
        assert moved.evaluate(corpus) == run.evaluate(corpus)
    finally:
        moved.path.rename(run.path)


def test_load_refuses_a_missing_run_and_device(run, tmp_path):
    with pytest.raises(RunError, match="no such run"):
        seqgen.load(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="'warp'"):
        seqgen.load(run.path, device="warp")


@pytest.mark.parametrize("change", [{"training": {"seed": 1}}, {"model": {"gru_reset": "before"}}])
def test_load_refuses_weights_of_another_config(run, tmp_path, change):
    other = shutil.copytree(run.path, tmp_path / "other")
    config = json.loads((other / "config.json").read_text("utf-8"))
    for part, values in change.items():
        config[part] |= values
    (other / "config.json").write_text(json.dumps(config), "utf-8")

    with pytest.raises(RunError, match=r"model\.safetensors .*config\.json"):
        seqgen.load(other)


@pytest.mark.parametrize("threads", [1, 1024])
def test_fewest_and_most_threads_are_accepted(run, threads):
    assert seqgen.load(run.path, threads=threads).path == run.path


@pytest.mark.parametrize("threads", [0, -1, 1025, 10**13])
def test_impossible_number_of_threads_is_refused(run, threads):
    with pytest.raises(ConfigError, match=f"threads: .*not {threads}"):
        seqgen.load(run.path, threads=threads)
