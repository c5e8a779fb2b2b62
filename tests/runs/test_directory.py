"""Run directories: config.json, the lock, names, and finding runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from seqgen.errors import RunError, SaveError
from seqgen.runs.config import RunConfig, resolve_settings
from seqgen.runs.directory import RunDirectory, check_out_is_free, create_directory, find_run, find_runs

from ..small_runs import NEURAL, run_config

CONFIG = run_config()


@pytest.fixture
def make_run(in_tmp):
    """Make a run directory in runs/, created in the given year, with an empty file as weights."""

    def make(name, year=2026, *, weights=True):
        path = Path("runs", name)
        path.mkdir(parents=True)
        directory = RunDirectory(path)
        directory.write_config(CONFIG.model_copy(update={"created": f"{year}-01-01T00:00:00+00:00"}))
        if weights:
            directory.weights.touch()
        return directory

    return make


# --- config.json


def test_config_round_trips(make_run):
    directory = make_run("one")

    assert directory.read_config() == CONFIG
    content = json.loads(directory.config.read_text("utf-8"))
    assert next(iter(content)) == "format_version"
    assert content["model"]["cell"] == "lstm"


def test_config_of_every_cell_round_trips(make_run):
    directory = make_run("one")
    for cell in NEURAL:
        resolved = resolve_settings({"cell": cell, "valid": "valid.txt", "max_time": "9s"})
        config = CONFIG.model_copy(
            update={"model": resolved.model, "data": resolved.data, "training": resolved.training}
        )
        directory.write_config(config)
        assert directory.read_config() == config


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda content: content.update(wings=2), "wings: unknown setting"),
        (lambda content: content["training"].update(wings=2), "training.wings: unknown setting"),
        (lambda content: content["training"].update(lr="0.1"), "training.lr"),
        (lambda content: content["model"].update(cell="gnu"), "model"),
        (lambda content: content["model"].update(hidden_size=10**9), "model: hidden_size"),
        (lambda content: content["tokenizer"].update(kind="pickle"), "tokenizer.kind"),
        (lambda content: content.update(format_version=2), "format_version"),
        (lambda content: content.pop("text"), "text"),
    ],
)
def test_changed_config_is_refused_by_the_name_of_the_field(make_run, change, words):
    directory = make_run("one")
    content = json.loads(directory.config.read_text("utf-8"))
    change(content)
    directory.config.write_text(json.dumps(content), "utf-8")

    with pytest.raises(RunError, match=words) as caught:
        directory.read_config()

    assert str(directory.config) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe\x00", b'{"a": NaN}'])
def test_invalid_config_json_is_refused(make_run, content):
    directory = make_run("one")
    directory.config.write_bytes(content)

    with pytest.raises(RunError, match=r"config\.json"):
        directory.read_config()


def test_missing_run_and_other_folder_have_different_errors(in_tmp):
    Path("folder").mkdir()
    Path("file").touch()

    with pytest.raises(RunError, match="nowhere: no such run"):
        RunDirectory(Path("nowhere")).read_config()
    with pytest.raises(RunError, match=r"folder is not a run: config\.json"):
        RunDirectory(Path("folder")).read_config()
    with pytest.raises(RunError, match="file"):
        RunDirectory(Path("file")).read_config()
    with pytest.raises(RunError, match="cannot be read"):
        RunDirectory(Path("x" * 300)).read_config()


def test_lock_that_is_a_directory_is_named(make_run):
    run = make_run("one")
    run.lock.mkdir()

    with pytest.raises(RunError, match=r"^runs/one/\.lock is a directory"):
        run.acquire_lock()


# --- directories


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("corpus.txt", "corpus-gru"),
        ("/some/where/king lear.v2.txt", "king lear.v2-gru"),
        ("corpus:pydoc", "pydoc-gru"),
        ("한글.txt", "한글-gru"),
        (".hidden", ".hidden-gru"),
        ("corpus:", "text-gru"),
    ],
)
def test_new_directory_is_named_after_text_and_cell(in_tmp, text, name):
    paths = [create_directory(None, text, "gru").path for _ in range(3)]

    assert paths == [Path("runs", name), Path("runs", f"{name}-2"), Path("runs", f"{name}-3")]
    assert all(path.is_dir() for path in paths)


def test_named_directory_is_created_with_parents_and_never_reused(in_tmp):
    assert create_directory("deep/er/run", "corpus.txt", "gru").path == Path("deep/er/run")
    with pytest.raises(RunError, match="deep/er/run exists already"):
        create_directory(Path("deep/er/run"), "corpus.txt", "gru")
    with pytest.raises(RunError, match="deep exists already"):
        check_out_is_free("deep")
    check_out_is_free(None)
    Path("file").touch()
    with pytest.raises(SaveError, match="cannot be made"):
        create_directory("file/run", "corpus.txt", "gru")
    with pytest.raises(SaveError, match="cannot be made"):
        create_directory("x" * 300, "corpus.txt", "gru")


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "n\udcff", "x" * 300])
def test_impossible_directory_name_is_refused(in_tmp, name):
    with pytest.raises(SaveError, match=r"cannot be made: .*; choose another --out"):
        check_out_is_free(name)


def test_name_created_meanwhile_is_skipped(in_tmp, monkeypatch):
    for name in ("corpus-gru", "corpus-gru-2"):
        Path("runs", name).mkdir(parents=True)
    monkeypatch.setattr(Path, "exists", lambda path: False)  # as it was a moment ago

    assert create_directory(None, "corpus.txt", "gru").path == Path("runs/corpus-gru-3")
    with pytest.raises(RunError, match="runs/corpus-gru exists already"):
        create_directory("runs/corpus-gru", "corpus.txt", "gru")


def test_find_run_returns_the_newest_with_weights(make_run):
    make_run("a", 2024)
    make_run("b", 2026)
    make_run("c", 2025)
    make_run("d", 2027, weights=False)
    broken = make_run("e", 2028)
    broken.config.write_text("{", "utf-8")

    assert find_run(None).path == Path("runs/b")
    assert find_run(None, trained=False).path == Path("runs/d")
    assert find_run("runs/a").path == Path("runs/a")


def test_find_runs_sorts_by_creation_with_broken_runs_last(make_run):
    for name, year in (("a", 2026), ("b", 2024), ("c", 2025)):
        make_run(name, year)
    make_run("0").config.write_text("{", "utf-8")
    Path("runs/no-run").mkdir()
    Path("runs/file").touch()

    found = find_runs()

    assert [run.path.name for run, _ in found] == ["b", "c", "a", "0"]
    assert [type(config) for _, config in found] == [RunConfig] * 3 + [RunError]


def test_find_run_without_runs(in_tmp):
    assert find_runs() == []
    with pytest.raises(RunError, match="no trained run in runs/"):
        find_run(None)
    Path("runs").touch()
    assert find_runs() == []


def test_find_runs_lists_a_run_without_config(make_run):
    make_run("lost").config.unlink()

    ((run, error),) = find_runs()

    assert run.path.name == "lost"
    assert isinstance(error, RunError)
    assert "newest checkpoint" in str(error)


def test_locked_directory_without_config_is_reported_as_being_trained(tmp_path):
    (tmp_path / "run").mkdir()
    lock = RunDirectory(tmp_path / "run").acquire_lock()
    try:
        with pytest.raises(RunError, match="another process is training"):
            check_out_is_free(tmp_path / "run")
    finally:
        lock.release()
