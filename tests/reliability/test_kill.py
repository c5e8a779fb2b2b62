"""A run whose process was killed, or whose machine lost power, resumes to exactly the same end."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from .faults import Fault
from .survival import (
    NEEDS_FORK,
    TINY_RUNS,
    Subject,
    assert_died,
    assert_survived,
    complete_checkpoints,
    subject,
    try_each,
)

pytestmark = [NEEDS_FORK, pytest.mark.xdist_group("worker")]  # one worker for all of them


def kills(points: Iterable[int]) -> list[Fault]:
    """Return a kill before each operation."""
    return [Fault("kill", at) for at in points]


def torn_writes(operations: list[str], points: range) -> list[Fault]:
    """Return a kill in the middle of each write."""
    return [Fault("torn", at) for at in points if operations[at].startswith("write")]


def power_losses(operations: list[str], points: range) -> list[Fault]:
    """Return power losses before each operation, with different survivors where they differ."""
    after = {"none": {"fsync"}, "names": {"fsync", "open", "mkdir", "rename", "replace", "unlink", "rmdir"}}
    faults = [
        Fault("power", at, survivors=kept)
        for kept, kinds in after.items()
        for at in points
        if at == points[0] or operations[at - 1].split()[0] in kinds
    ]
    return [*faults, *(Fault("power", at, survivors=at) for at in points)]


def train_and_die(subject: Subject) -> Callable[[Path, Fault], None]:
    """Return an attempt: a new run meets the fault, and is resumed."""

    def attempt(world: Path, fault: Fault) -> None:
        run = world / "runs" / "run"
        assert_died(subject.worker.train(world, run, fault))
        if fault.act != "power":
            named = sorted(run.glob("checkpoints/step-*"))
            assert named == complete_checkpoints(run), "an incomplete directory looks like a checkpoint"
        assert_survived(subject, world, run, subject.saves(fault.at))

    return attempt


def resume_and_die(subject: Subject, base: Path, saves: int) -> Callable[[Path, Fault], None]:
    """Return an attempt: the run under `base` meets the fault while it resumes, and is resumed again."""

    def attempt(world: Path, fault: Fault) -> None:
        shutil.copytree(base, world, dirs_exist_ok=True)
        run = world / "runs" / "run"
        assert_died(subject.worker.resume(world, run, fault))
        assert_survived(subject, world, run, saves)

    return attempt


@pytest.fixture
def lstm(pytestconfig) -> Subject:
    return subject("lstm", pytestconfig)


@pytest.mark.slow
def test_every_file_operation_is_counted(lstm):
    assert lstm.outcome.error is None
    assert lstm.outcome.all_seen
    kinds = {operation.split()[0] for operation in lstm.operations}
    assert kinds == {"open", "write", "truncate", "fsync", "mkdir", "rename", "replace", "unlink", "rmdir", "exit"}
    assert lstm.saves(len(lstm.operations)) == 4
    assert any("step-000000" in lstm.operations[at] for at in lstm.save(2)), "the third save removes the first"


@pytest.mark.slow
def test_run_survives_a_kill_at_any_operation_of_a_save(lstm, tmp_path):
    points = [at for at in lstm.save(2) if not lstm.operations[at - 1].startswith("fsync")]  # fsync changes no file

    try_each(tmp_path, kills(points), train_and_die(lstm))


@pytest.mark.slow
def test_run_survives_a_kill_within_any_write_of_a_save(lstm, tmp_path):
    try_each(tmp_path, torn_writes(lstm.operations, lstm.save(2)), train_and_die(lstm))


def renames(subject: Subject) -> list[int]:
    return [at for at in subject.save(2) if subject.operations[at].split()[0] in {"rename", "replace"}]


def test_run_survives_power_loss_after_every_rename_of_a_save(lstm, tmp_path):
    faults = [Fault("power", at + 1, survivors="names") for at in renames(lstm)]

    try_each(tmp_path, faults, train_and_die(lstm))


@pytest.mark.slow
def test_run_survives_any_power_loss_around_every_rename_of_a_save(lstm, tmp_path):
    faults = [fault for at in renames(lstm) for fault in power_losses(lstm.operations, range(at, at + 3))]

    try_each(tmp_path, faults, train_and_die(lstm))


def test_checkpoint_lost_by_the_disk_is_skipped(lstm, tmp_path):
    base = tmp_path.resolve() / "base"
    base.mkdir()
    assert_died(lstm.worker.train(base, base / "runs" / "run", Fault("kill", lstm.after("Step", 5))))
    names = sorted(path.name for path in base.glob("runs/run/checkpoints/step-000004/*"))
    assert len(names) == 6

    for number, name in enumerate(names[:: len(names) - 1]):
        world = tmp_path.resolve() / name
        shutil.copytree(base, world)
        path = world / "runs" / "run" / "checkpoints" / "step-000004" / name
        content = path.read_bytes()
        path.write_bytes(bytes(len(content)) if number % 2 else content[:-1])
        assert_survived(lstm, world, world / "runs" / "run", saves=1)


@pytest.mark.slow
def test_run_survives_a_kill_while_it_is_created(lstm, tmp_path):
    points = range(0, lstm.after("created", 0), 7)

    try_each(tmp_path, kills(points), train_and_die(lstm))


# --- the long form


@pytest.fixture(params=TINY_RUNS)
def each_family(request) -> Subject:
    return subject(request.param, request.config)


@pytest.fixture
def tell(request, record_property, capsys) -> Callable[[list[Fault]], list[Fault]]:
    """Print and record how many faults are tried."""

    def say(faults: list[Fault]) -> list[Fault]:
        record_property("faults", len(faults))
        with capsys.disabled():
            print(f"\n{request.node.name}: {len(faults)} faults")
        return faults

    return say


def all_faults(operations: list[str]) -> list[Fault]:
    """Return every fault at every operation."""
    points = range(len(operations))
    return [*kills(points), *torn_writes(operations, points), *power_losses(operations, points)]


@pytest.mark.campaign
def test_run_survives_any_fault_at_any_operation(each_family, tmp_path, tell):
    faults = tell(all_faults(each_family.operations))

    try_each(tmp_path, faults, train_and_die(each_family))


@pytest.mark.campaign
@pytest.mark.parametrize("place", ["before the rename", "after the rename"])
def test_resumed_run_survives_any_fault_at_any_operation(each_family, tmp_path, tell, place):
    points = each_family.save(2)
    (rename,) = [at for at in points if each_family.operations[at].split()[1].endswith("step-000000")
                 and each_family.operations[at].startswith("rename")]  # fmt: skip
    at = rename + 2 if place == "after the rename" else rename - 4
    base, straight = tmp_path.resolve() / "base", tmp_path.resolve() / "straight"
    base.mkdir()
    assert_died(each_family.worker.train(base, base / "runs" / "run", Fault("kill", at)))
    shutil.copytree(base, straight)
    operations = each_family.worker.resume(straight, straight / "runs" / "run").operations
    attempt = resume_and_die(each_family, base, saves=2)

    try_each(tmp_path, tell(all_faults(operations)), attempt)
