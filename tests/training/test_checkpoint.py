from __future__ import annotations

import pytest
import torch

from seqgen.errors import RunError, SaveError
from seqgen.training.checkpoint import Progress, load_checkpoint, newest_checkpoint, save_checkpoint

FAMILIES = ["rnn", "lstm", "gru", "gru-before", "transformer"]


def progress(step: int) -> Progress:
    return Progress(step=step, seconds=1.0, metrics_bytes=0)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", FAMILIES)
def test_a_run_that_goes_on_from_a_checkpoint_is_the_run(make_learner, tmp_path, name, precision):
    settings = {"dropout": 0.3, "accumulate": 2, "max_steps": 9, "precision": precision}
    straight, _ = make_learner(name, **settings)
    losses = [straight.step(step) for step in range(9)]

    first, _ = make_learner(name, **settings)
    begun = [first.step(step) for step in range(4)]
    save_checkpoint(tmp_path / "checkpoints", first, progress(4))
    second, _ = make_learner(name, **settings)
    torch.manual_seed(123)  # the random state comes from the checkpoint, not from around it
    load_checkpoint(newest_checkpoint(tmp_path / "checkpoints"), second)
    ended = [second.step(step) for step in range(4, 9)]

    assert begun + ended == losses
    for parameter, expected in zip(second.model.parameters(), straight.model.parameters(), strict=True):
        assert torch.equal(parameter, expected)


def test_the_newest_is_the_furthest_and_the_last_two_are_kept(make_learner, tmp_path):
    learner, _ = make_learner("gru")
    learner.step(0)
    folder = tmp_path / "checkpoints"
    for step in (9, 10, 1_000_000, 2):
        save_checkpoint(folder, learner, progress(step))

    assert newest_checkpoint(folder).progress.step == 1_000_000
    assert sorted(path.name for path in folder.iterdir()) == ["step-000010", "step-1000000"]


def test_what_is_not_complete_does_not_count(make_learner, tmp_path):
    learner, _ = make_learner("gru")
    learner.step(0)
    save_checkpoint(tmp_path, learner, progress(5))
    (tmp_path / "step-000009").mkdir()
    (tmp_path / ".step-000008.1.tmp").mkdir()
    (tmp_path / "step-notes.txt").touch()

    assert newest_checkpoint(tmp_path).progress.step == 5
    assert newest_checkpoint(tmp_path / "nowhere") is None


def test_a_save_that_fails_leaves_what_was_there(make_learner, tmp_path):
    learner, _ = make_learner("gru")
    learner.step(0)
    save_checkpoint(tmp_path / "checkpoints", learner, progress(5))
    before = {path: path.read_bytes() for path in (tmp_path / "checkpoints").rglob("*") if path.is_file()}
    (tmp_path / "file").touch()

    with pytest.raises(SaveError, match="step-000006"):
        save_checkpoint(tmp_path / "file", learner, progress(6))

    assert {path: path.read_bytes() for path in (tmp_path / "checkpoints").rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", ["weights.safetensors", "optimizer.safetensors", "state.safetensors"])
def test_a_damaged_file_is_named(make_learner, tmp_path, name):
    learner, _ = make_learner("gru")
    learner.step(0)
    path = save_checkpoint(tmp_path, learner, progress(1))
    (path / name).write_bytes((path / name).read_bytes()[:-3])

    with pytest.raises(RunError, match=name):
        load_checkpoint(newest_checkpoint(tmp_path), learner)


def test_a_damaged_progress_is_named(make_learner, tmp_path):
    learner, _ = make_learner("gru")
    learner.step(0)
    path = save_checkpoint(tmp_path, learner, progress(1))
    (path / "state.json").write_text('{"step": "one"}')

    with pytest.raises(RunError, match=r"state\.json"):
        newest_checkpoint(tmp_path)


def test_nothing_in_a_checkpoint_is_a_pickle(make_learner, tmp_path):
    learner, _ = make_learner("gru")
    learner.step(0)
    path = save_checkpoint(tmp_path, learner, progress(1))

    assert sorted(file.name for file in path.iterdir()) == [
        "optimizer.safetensors",
        "state.json",
        "state.safetensors",
        "weights.safetensors",
    ]
    assert all(b"ctorch\n" not in file.read_bytes() for file in path.iterdir())
