"""Locks on what the cache makes and what is used of it."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from seqgen.utils.locks import alone, keep, making, take, unused


class _User:
    """Whatever uses a folder."""


def test_a_lock_that_was_removed_is_held_by_one_alone(tmp_path):
    inside = []

    def work(number):
        for _ in range(30):
            with alone(tmp_path, "name"):
                inside.append(number)
                assert inside == [number]
                inside.clear()

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(work, range(3)))

    assert list(tmp_path.iterdir()) == []


def test_what_is_used_is_not_taken(tmp_path):
    folder = tmp_path / "entry"
    folder.mkdir()
    (folder / "file").touch()
    first, second = _User(), _User()
    keep(folder, first)
    keep(folder, second)

    del first
    assert not take(folder)
    with unused(folder) as free:
        assert not free
    del second
    with unused(folder) as free:
        assert free
    assert (folder / "file").exists()
    assert take(folder)
    assert list(tmp_path.iterdir()) == []


def test_what_another_process_uses_is_not_taken(tmp_path):
    folder = tmp_path / "entry"
    folder.mkdir()
    code = (
        "import sys; from pathlib import Path; from seqgen.utils.locks import keep\n"
        "class User: pass\n"
        "user = User(); keep(Path(sys.argv[1]), user); print('kept', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(folder)]

    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"kept\n"
        assert not take(folder)
        process.kill()
    assert take(folder)


def test_what_is_being_made_is_not_taken(tmp_path):
    with making(tmp_path, "entry") as made:
        made.mkdir()
        assert not take(made)
        assert not take(tmp_path / "entry")
        assert made.is_dir()
    made.mkdir()  # by a process that was killed
    assert take(made)
    assert not made.exists()


def test_what_is_gone_cannot_be_kept(tmp_path):
    with pytest.raises(FileNotFoundError):
        keep(tmp_path / "entry", _User())
