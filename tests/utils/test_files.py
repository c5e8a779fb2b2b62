from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from seqgen.errors import SaveError
from seqgen.utils.files import (
    cache_directory,
    hash_file,
    make_directory,
    remove_temporary_files,
    sync_directory,
    unwritable_parent,
    write_atomically,
    write_durably,
)

OVER_THE_LIMIT = """
import resource, signal, sys
from pathlib import Path
from seqgen.errors import SaveError
from seqgen.utils.files import write_atomically

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_atomically(Path(sys.argv[1]), b"new" * 1000)
except SaveError as error:
    print(error)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_write_atomically_follows_a_link_and_refuses_a_pipe(tmp_path):
    target, link, pipe = tmp_path / "target", tmp_path / "link", tmp_path / "pipe"
    link.symlink_to(target)
    os.mkfifo(pipe)

    write_atomically(link, b"new")
    with pytest.raises(SaveError, match="pipe"):
        write_atomically(pipe, b"new")

    assert (link.is_symlink(), target.read_bytes(), pipe.is_fifo()) == (True, b"new", True)


@pytest.mark.parametrize("content", [b"", b"new", bytes(range(256)) * 1000])
def test_write_atomically_replaces_a_file(tmp_path, content):
    path = tmp_path / "file.json"
    path.write_bytes(b"what stood here before, and was longer")

    write_atomically(path, content)

    assert path.read_bytes() == content
    assert names(tmp_path) == ["file.json"]


def test_write_atomically_makes_a_file(tmp_path):
    write_atomically(tmp_path / "file.json", b"new")

    assert names(tmp_path) == ["file.json"]


def test_open_reader_keeps_the_old_file(tmp_path):
    path = tmp_path / "file.json"
    path.write_bytes(b"old")

    with path.open("rb") as reader:
        write_atomically(path, b"new")

        assert reader.read() == b"old"


def test_content_is_synced_before_the_name_and_the_directory(tmp_path, monkeypatch):
    steps = []
    fsync, replace = os.fsync, Path.replace

    def fsync_and_tell(descriptor):
        is_directory = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        steps.append("sync directory" if is_directory else f"sync {os.fstat(descriptor).st_size} bytes")
        fsync(descriptor)

    def replace_and_tell(self, target):
        steps.append(f"rename to {Path(target).name}")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", fsync_and_tell)
    monkeypatch.setattr(Path, "replace", replace_and_tell)

    write_atomically(tmp_path / "file.json", b"new")

    assert steps == ["sync 3 bytes", "rename to file.json", "sync directory"]


def test_full_disk_leaves_only_the_old_file(tmp_path):
    path = tmp_path / "file.json"
    path.write_bytes(b"old")

    result = subprocess.run(
        [sys.executable, "-c", OVER_THE_LIMIT, str(path)], capture_output=True, text=True, check=True, timeout=60
    )

    assert result.stdout == f"{path} could not be written: File too large; make room, or choose another place\n"
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file.json"]


def test_sweep_removes_only_temporary_files(tmp_path):
    (tmp_path / ".tmp-file.json-123").write_bytes(b"half")
    (tmp_path / ".tmp-step-000001-abc" / "inside").mkdir(parents=True)
    (tmp_path / "file.json").write_bytes(b"whole")

    remove_temporary_files(tmp_path)
    remove_temporary_files(tmp_path / "missing")

    assert names(tmp_path) == ["file.json"]


def test_sweep_continues_after_a_folder_that_cannot_be_removed(tmp_path, monkeypatch):
    def refuse(path, *, dir_fd=None):
        raise PermissionError(13, "Permission denied", path)

    for name in "abc":
        (tmp_path / f".tmp-{name}").mkdir()
        (tmp_path / f".tmp-{name}" / "inside").touch()
    monkeypatch.setattr(os, "rmdir", refuse)

    remove_temporary_files(tmp_path)

    assert list(tmp_path.glob("*/inside")) == []


def test_make_directory_syncs_its_parents(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr("seqgen.utils.files.sync_directory", synced.append)

    make_directory(tmp_path / "a" / "b" / "c")

    assert synced == [tmp_path / "a" / "b", tmp_path / "a", tmp_path]
    with pytest.raises(FileExistsError):
        make_directory(tmp_path / "a" / "b" / "c")
    assert (tmp_path / "a" / "b" / "c").is_dir()


def test_make_directory_that_cannot_be_synced_is_removed(tmp_path, monkeypatch):
    def refuse(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("seqgen.utils.files.sync_directory", refuse)

    with pytest.raises(OSError, match="No space"):
        make_directory(tmp_path / "new")

    assert names(tmp_path) == []


def test_directory_in_the_way_stays(tmp_path):
    path = tmp_path / "file.json"
    (path / "inside").mkdir(parents=True)

    with pytest.raises(SaveError, match=r"file\.json could not be written: Is a directory"):
        write_atomically(path, b"new")

    assert names(tmp_path) == ["file.json"]
    assert names(path) == ["inside"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing/file.json", "No such file or directory"),
        ("file/below.json", "Not a directory"),
        ("n" * 255, "File name too long"),
    ],
)
def test_impossible_path_is_refused(tmp_path, name, reason):
    (tmp_path / "file").write_bytes(b"old")

    with pytest.raises(SaveError, match=f"could not be written: {reason}"):
        write_atomically(tmp_path / name, b"new")

    assert names(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


def test_failed_rename_leaves_only_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file.json"
    path.write_bytes(b"old")

    def refuse(self, target):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "replace", refuse)

    with pytest.raises(SaveError, match="Permission denied"):
        write_atomically(path, b"new")

    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file.json"]


def test_write_durably_and_sync_directory_raise_oserror(tmp_path):
    write_durably(tmp_path / "file", b"new")
    sync_directory(tmp_path)

    assert (tmp_path / "file").read_bytes() == b"new"
    with pytest.raises(FileNotFoundError):
        write_durably(tmp_path / "missing" / "file", b"new")
    with pytest.raises(FileNotFoundError):
        sync_directory(tmp_path / "missing")


def test_blocking_names_what_is_in_the_way(tmp_path):
    (tmp_path / "file").touch()

    assert unwritable_parent(tmp_path / "new" / "deep") is None
    assert unwritable_parent(tmp_path / "file" / "new" / "deep") == tmp_path / "file"


def test_cache_directory_is_the_one_that_the_environment_names(monkeypatch, tmp_path):
    monkeypatch.setenv("SEQGEN_CACHE", str(tmp_path))

    assert cache_directory() == tmp_path


def test_cache_directory_is_in_the_users_cache_by_default(monkeypatch):
    monkeypatch.delenv("SEQGEN_CACHE", raising=False)

    assert cache_directory().is_absolute()
    assert cache_directory().parts[-1] in {"seqgen", "Cache"}
    assert cache_directory() != Path.home()


def test_hash_file_is_the_sha256_of_its_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")

    assert hash_file(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
