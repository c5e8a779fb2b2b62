from __future__ import annotations

import errno
import hashlib
import json
import os
from pathlib import Path

import pytest
import torch

from seqgen.errors import RunError, SaveError
from seqgen.training.checkpoint import (
    FILES,
    CheckpointState,
    TrainingProgress,
    load_checkpoint,
    newest_checkpoint,
    save_checkpoint,
)
from seqgen.training.learner import Learner
from seqgen.training.plan import Plan

from .conftest import SMALL, TRANSLATORS


def progress(step: int) -> TrainingProgress:
    return TrainingProgress(step=step, seconds=1.0, metrics_bytes=0)


def save(folder: Path, learner: Learner, step: int) -> Path:
    try:
        newest = newest_checkpoint(folder)
    except RunError:  # none is whole
        newest = None
    return save_checkpoint(folder, learner, progress(step), b"{}\n", "", before=newest and newest.path).path


def assert_same_weights(learner: Learner, other: Learner) -> None:
    for parameter, expected in zip(learner.model.parameters(), other.model.parameters(), strict=True):
        assert torch.equal(parameter, expected)


@pytest.mark.parametrize(
    ("name", "precision"), [*((name, "fp32") for name in (*SMALL, *TRANSLATORS)), ("lstm", "bf16")]
)
def test_resumed_learner_takes_the_same_steps(make_learner, tmp_path, name, precision):
    settings = {"dropout": 0.3, "grad_accum": 2, "max_steps": 9, "precision": precision}
    straight, _ = make_learner(name, **settings)
    losses = [straight.step(step) for step in range(9)]

    first, _ = make_learner(name, **settings)
    before = [first.step(step) for step in range(4)]
    save(tmp_path / "checkpoints", first, 4)
    second, _ = make_learner(name, **settings)
    torch.manual_seed(123)  # the random state comes from the checkpoint
    load_checkpoint(newest_checkpoint(tmp_path / "checkpoints"), second, "")
    after = [second.step(step) for step in range(4, 9)]

    assert before + after == losses
    assert_same_weights(second, straight)
    with second.averaged(), straight.averaged():
        assert_same_weights(second, straight)


def test_checkpoint_of_step_0_resumes_exactly(make_learner, tmp_path):
    straight, _ = make_learner("lstm", dropout=0.3)
    losses = [straight.step(step) for step in range(3)]
    stopped, _ = make_learner("lstm", dropout=0.3)
    save(tmp_path, stopped, 0)

    learner, _ = make_learner("lstm", dropout=0.3, seed=1)
    load_checkpoint(newest_checkpoint(tmp_path), learner, "")
    learner.stream = straight.stream

    assert [learner.step(step) for step in range(3)] == losses


def test_newest_checkpoint_has_the_highest_step_and_two_are_kept(make_learner, tmp_path):
    learner, _ = make_learner("gru")
    learner.step(0)
    folder = tmp_path / "checkpoints"
    for step in (9, 10, 1_000_000):
        save(folder, learner, step)

    assert newest_checkpoint(folder).progress.step == 1_000_000
    assert sorted(path.name for path in folder.iterdir()) == ["step-000010", "step-1000000"]


@pytest.mark.parametrize("new", [7, 10, 12])
def test_save_removes_damaged_checkpoints_and_keeps_complete_ones(make_learner, tmp_path, new):
    learner, _ = make_learner("gru")
    for step in (5, 10):
        path = save(tmp_path, learner, step)
    cut_short(path / "weights.safetensors")

    save(tmp_path, learner, new)

    assert sorted(path.name for path in tmp_path.glob("step-*")) == ["step-000005", f"step-{new:06d}"]
    assert newest_checkpoint(tmp_path).damaged == ()


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root and Windows ignore these permissions")
def test_unreadable_checkpoint_is_an_error_not_skipped(make_learner, tmp_path):
    learner, _ = make_learner("gru")
    for step in (5, 10):
        path = save(tmp_path, learner, step)
    (path / "weights.safetensors").chmod(0)

    with pytest.raises(RunError, match=r"step-000010/weights\.safetensors cannot be read: Permission denied"):
        newest_checkpoint(tmp_path)


def test_unreadable_checkpoint_folder_is_named(make_learner, tmp_path, monkeypatch):
    def fail(path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", fail)

    with pytest.raises(RunError, match="cannot be read: Permission denied"):
        newest_checkpoint(tmp_path)


def test_incomplete_checkpoint_is_skipped(make_learner, tmp_path):
    learner, _ = make_learner("gru")
    learner.step(0)
    save(tmp_path, learner, 5)
    (tmp_path / "step-notes.txt").touch()
    (tmp_path / ".tmp-step-000008-abc").mkdir()
    assert newest_checkpoint(tmp_path).damaged == ()
    (tmp_path / "step-000009").mkdir()

    found = newest_checkpoint(tmp_path)

    assert (found.path.name, found.progress.step) == ("step-000005", 5)
    assert len(found.damaged) == 1
    assert "step-000009/state.json cannot be read" in found.damaged[0]
    assert newest_checkpoint(tmp_path / "nowhere") is None


def test_failed_save_leaves_older_checkpoints_unchanged(make_learner, tmp_path):
    learner, _ = make_learner("gru")
    learner.step(0)
    save(tmp_path / "checkpoints", learner, 5)
    before = {path: path.read_bytes() for path in (tmp_path / "checkpoints").rglob("*") if path.is_file()}
    (tmp_path / "file").touch()

    with pytest.raises(SaveError, match="step-000006"):
        save(tmp_path / "file", learner, 6)

    assert {path: path.read_bytes() for path in (tmp_path / "checkpoints").rglob("*") if path.is_file()} == before


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-3])


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "damage"), [*((name, flip_a_bit) for name in FILES), (FILES[0], cut_short), (FILES[1], Path.unlink)]
)
def test_damaged_checkpoint_is_named_and_the_one_before_it_is_used(make_learner, tmp_path, name, damage):
    learner, _ = make_learner("gru")
    for step in (1, 2):
        learner.step(step - 1)
        path = save(tmp_path, learner, step)
    damage(path / name)

    found = newest_checkpoint(tmp_path)

    assert found.progress.step == 1
    assert len(found.damaged) == 1
    assert f"step-000002/{name}" in found.damaged[0]
    load_checkpoint(found, learner, "")


def test_all_checkpoints_damaged_is_an_error(make_learner, tmp_path):
    name = "weights.safetensors"
    learner, _ = make_learner("gru")
    for step in (1, 2):
        cut_short(save(tmp_path, learner, step) / name)

    with pytest.raises(RunError, match=f"step-000002/{name}"):
        newest_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "Invalid JSON"),
        ('{"step": "one"}', "files"),
        (
            CheckpointState(files={}, plan=Plan.first(9), progress=progress(1)).model_dump_json(),
            "does not name the files",
        ),
        ('{"format_version": 2}', "format_version"),
    ],
)
def test_damaged_state_json_is_named(make_learner, tmp_path, content, words):
    learner, _ = make_learner("gru")
    path = save(tmp_path, learner, 1)
    (path / "state.json").write_text(content, "utf-8")

    with pytest.raises(RunError, match=rf"state\.json.*{words}"):
        newest_checkpoint(tmp_path)


def test_state_json_of_up_to_a_mebibyte_is_read(make_learner, tmp_path):
    learner, _ = make_learner("gru")
    path = save(tmp_path, learner, 1) / "state.json"
    content = path.read_bytes()

    path.write_bytes(content.ljust(1 << 20))
    assert newest_checkpoint(tmp_path).progress.step == 1
    path.write_bytes(content.ljust((1 << 20) + 1))
    with pytest.raises(RunError, match=r"state\.json.*larger than 1,048,576 bytes"):
        newest_checkpoint(tmp_path)


def test_state_json_holds_plan_progress_and_hashes(make_learner, tmp_path):
    learner, _ = make_learner("gru")
    path = save(tmp_path, learner, 1)

    state = json.loads((path / "state.json").read_text("utf-8"))

    assert list(state) == ["format_version", "files", "plan", "progress"]
    assert state["format_version"] == 1
    assert state["plan"]["stages"] == [learner.plan.current.model_dump()]
    assert state["progress"] == progress(1).model_dump()
    assert state["files"] == {name: hashlib.sha256((path / name).read_bytes()).hexdigest() for name in FILES}


def test_save_removes_leftovers_of_a_killed_save(make_learner, tmp_path):
    learner, _ = make_learner("gru")
    leftover = tmp_path / ".tmp-step-000001-abc"
    leftover.mkdir()
    (leftover / "weights.safetensors").write_bytes(b"half")

    save(tmp_path, learner, 2)

    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["step-000002"]


def test_interrupted_removal_leaves_nothing_that_looks_like_a_checkpoint(make_learner, tmp_path, monkeypatch):
    learner, _ = make_learner("gru")
    folder = tmp_path / "checkpoints"
    for step in (1, 2):
        save(folder, learner, step)

    def remove_half(path: Path, **_: object) -> None:
        next(path.rglob("weights.safetensors")).unlink()

    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", remove_half)
        save(folder, learner, 3)

    assert sorted(path.name for path in folder.glob("step-*")) == ["step-000002", "step-000003"]
    assert newest_checkpoint(folder).damaged == ()
    save(folder, learner, 4)
    assert sorted(path.name for path in folder.iterdir()) == ["step-000003", "step-000004"]


def test_damaged_checkpoint_of_the_same_step_is_replaced(make_learner, tmp_path):
    learner, _ = make_learner("gru")
    cut_short(save(tmp_path / "checkpoints", learner, 1) / "weights.safetensors")

    save(tmp_path / "checkpoints", learner, 1)

    assert newest_checkpoint(tmp_path / "checkpoints").damaged == ()
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-000001"]


def test_random_state_of_a_missing_device_is_ignored(make_learner, tmp_path):
    cpu, _ = make_learner("lstm", dropout=0.5)
    cpu.step(0)
    cuda_state = torch.arange(16, dtype=torch.uint8)
    own = cpu.random.state_dict()
    cpu.random.load_state_dict({**own, "cuda": cuda_state})
    save(tmp_path, cpu, 1)

    here, _ = make_learner("lstm", dropout=0.5)
    load_checkpoint(newest_checkpoint(tmp_path), here, "")
    assert here.random.state_dict().keys() == {"cpu"}
    assert torch.equal(here.random.state_dict()["cpu"], own["cpu"])

    save(tmp_path, here, 2)
    card, _ = make_learner("lstm", dropout=0.5)
    card.random.load_state_dict({**card.random.state_dict(), "cuda": cuda_state})
    load_checkpoint(newest_checkpoint(tmp_path), card, "")
    assert torch.equal(card.random.state_dict()["cpu"], own["cpu"])
    assert torch.equal(card.random.state_dict()["cuda"], cuda_state)


def test_checkpoint_contains_no_pickle(make_learner, tmp_path):
    learner, _ = make_learner("gru")
    learner.step(0)
    path = save(tmp_path, learner, 1)

    assert sorted(file.name for file in path.iterdir()) == [
        "best.safetensors",
        "config.json",
        "optimizer.safetensors",
        "state.json",
        "state.safetensors",
        "weights.safetensors",
    ]
    assert all(b"ctorch\n" not in file.read_bytes() for file in path.iterdir())
