"""Following the plan of another run."""

from __future__ import annotations

import shutil

import pytest

import seqgen
from seqgen.errors import ConfigError, RunError
from seqgen.runs.follow import FollowedRun
from seqgen.tokenizers import auto
from seqgen.tokenizers.auto import Choice
from seqgen.training.checkpoint import newest_checkpoint

from ..small_runs import GRU


@pytest.fixture
def followed(corpus, tmp_path):
    """The directory of a run that has not taken a step."""
    run = seqgen.train(corpus, out=tmp_path / "followed", **{**GRU, "threads": 1, "device": "cpu"})
    run.close()
    return run.path


def test_followed_run_has_config_and_plan(followed):
    run = FollowedRun.read(followed)

    assert (run.path, run.config.model.cell) == (followed, "gru")
    assert run.plan == newest_checkpoint(followed / "checkpoints").plan


def test_run_without_checkpoint_cannot_be_followed(followed):
    shutil.rmtree(followed / "checkpoints")

    with pytest.raises(RunError, match="no checkpoint, so it has no plan to follow"):
        FollowedRun.read(followed)


def test_first_plan_of_a_following_run_is_the_first_stage(followed, corpus, tmp_path):
    seqgen.train(out=followed, resume=True).run()
    seqgen.train(out=followed, resume=True, max_steps=10).run()

    settings = {name: value for name, value in GRU.items() if name != "max_steps"}
    run = seqgen.train(corpus, out=tmp_path / "run", plan_from=followed, **settings)
    run.close()

    plan = FollowedRun.read(followed).plan
    assert len(plan.stages) == 2
    assert newest_checkpoint(run.path / "checkpoints").plan.stages == plan.stages[:1]


def test_fill_in_takes_length_threads_device_and_precision(followed):
    run = FollowedRun.read(followed)

    filled = run.fill_in({"seed": 3, "precision": "bf16"})

    assert filled == {"seed": 3, "precision": "bf16", "max_steps": 8, "threads": 1, "device": "cpu"}


def test_following_run_has_the_chosen_tokenizer_of_the_followed_one(corpus, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(auto, "CHOICES", (Choice(0, 0.0, "bpe", 300),))
        followed = seqgen.train(corpus, out=tmp_path / "followed", **GRU).run()

    settings = {name: value for name, value in GRU.items() if name != "max_steps"}
    for name, asked in (("run", {}), ("named", {"tokenizer": "bpe", "vocab_size": 300})):
        run = seqgen.train(corpus, out=tmp_path / name, plan_from=followed.path, **asked, **settings).run()

        assert run.config.tokenizer.auto == (not asked)
        assert run.config.identity == followed.config.identity
    with pytest.raises(ConfigError, match=r"tokenizer.kind is char, there bpe"):
        seqgen.train(corpus, out=tmp_path / "char", plan_from=followed.path, tokenizer="char", **settings)


@pytest.mark.parametrize("name", ["max_steps", "max_epochs", "max_time", "threads"])
def test_fill_in_refuses_a_length_and_threads(followed, name):
    with pytest.raises(ConfigError, match=f"^plan_from: {name} comes with the plan"):
        FollowedRun.read(followed).fill_in({name: 1})
