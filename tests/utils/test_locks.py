"""Locks on entries of a cache: one process builds, and what killed ones left is removed."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from filelock import Timeout

from seqgen.utils.locks import build_folder, hold_lock, note_use, remove_entry, remove_leftovers


def test_lock_is_held_by_one_thread_at_a_time_and_leaves_no_file(tmp_path):
    inside = []

    def work(number):
        for _ in range(30):
            with hold_lock(tmp_path, "name"):
                inside.append(number)
                assert inside == [number]
                inside.clear()

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(work, range(3)))

    assert list(tmp_path.iterdir()) == []


def test_lock_ends_with_its_process(tmp_path):
    code = (
        "import sys; from pathlib import Path; from seqgen.utils.locks import hold_lock\n"
        "with hold_lock(Path(sys.argv[1]), 'name'): print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]

    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(Timeout), hold_lock(tmp_path, "name", timeout=0):
            pass
        process.kill()
    with hold_lock(tmp_path, "name", timeout=0):
        pass


def test_build_folder_is_empty_at_first_and_removed_unless_renamed(tmp_path):
    (tmp_path / ".building-entry").mkdir()
    for keep in (False, True):
        with build_folder(tmp_path, "entry") as building:
            building.mkdir()
            if keep:
                building.rename(tmp_path / "entry")

        assert [path.name for path in tmp_path.iterdir()] == ["entry"] * keep


def test_entry_is_not_removed_while_it_is_built(tmp_path):
    with build_folder(tmp_path, "entry") as building:
        building.mkdir()
        assert not remove_entry(building)
        assert not remove_entry(tmp_path / "entry")
        remove_leftovers(tmp_path)
        assert building.is_dir()

    (tmp_path / "entry").mkdir()
    assert remove_entry(tmp_path / "entry")
    assert list(tmp_path.iterdir()) == []


def test_leftovers_of_killed_processes_are_removed(tmp_path):
    (tmp_path / ".building-killed").mkdir()
    (tmp_path / ".building-gone.lock").touch()
    (tmp_path / "entry").mkdir()

    remove_leftovers(tmp_path)
    remove_leftovers(tmp_path / "missing")

    assert [path.name for path in tmp_path.iterdir()] == ["entry"]


def test_note_use_sets_the_time_and_ignores_a_missing_folder(tmp_path):
    import os

    os.utime(tmp_path, (0, 0))
    note_use(tmp_path)
    note_use(tmp_path / "missing")

    assert tmp_path.stat().st_mtime > 0
