"""What names stand for: files of folders, pipes, and settings that apply."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from seqgen.errors import ConfigError, TextError
from seqgen.sources.config import Reading
from seqgen.sources.names import expand_names, is_read_once, pipe_notice, reject_unused_settings, sides_are_lines


def names_in(folder, **options):
    return [Path(name).relative_to(folder).as_posix() for name in expand_names([str(folder)], Reading(**options))]


def test_expand_names_sorts_files_and_ignores_hidden_ones(write, tmp_path):
    for name in ("b.txt", "a/z.txt", "a.txt", "c.md", ".hidden.txt", ".git/x.txt", "a/d.txt.gz"):
        write(name, "x")

    assert names_in(tmp_path) == ["a/d.txt.gz", "a/z.txt", "a.txt", "b.txt"]
    assert names_in(tmp_path, glob="*.md") == ["c.md"]
    assert names_in(tmp_path, glob="a/*") == ["a/d.txt.gz", "a/z.txt"]


@pytest.mark.parametrize(
    ("glob", "fitting"),
    [
        ("**/*.md", ["a/b/c.md", "a/b.md", "a.md.gz", "d.md"]),
        ("a/**/*.md", ["a/b/c.md", "a/b.md"]),
        ("a/**/b/**/*.md", ["a/b/c.md"]),
        ("**/**/d.md", ["d.md"]),
        ("**", ["a/b/c.md", "a/b.md", "a.md.gz", "d.md", "e.txt"]),
        ("a**/*.md", ["a/b/c.md", "a/b.md"]),
    ],
)
def test_glob_with_two_stars_matches_any_folders_or_none(write, tmp_path, glob, fitting):
    for name in ("d.md", "a/b.md", "a/b/c.md", "a.md.gz", "e.txt"):
        write(name, "x")

    assert names_in(tmp_path, glob=glob) == fitting


def test_expand_names_keeps_the_order_of_the_names(write):
    names = [write("b.txt", "b"), "corpus:pydoc", write("a.txt", "a"), "-"]

    assert list(expand_names(names, Reading())) == names


def test_a_directory_without_a_matching_file_is_refused_with_its_suffixes(write, tmp_path):
    write("a.md", "x")

    with pytest.raises(TextError, match=r"no file that matches --glob '\*\.txt'; it has 1 \*\.md"):
        names_in(tmp_path)


def test_a_directory_of_hidden_files_is_refused_with_their_names(write, tmp_path):
    write("a/.b.txt", "x")
    with pytest.raises(TextError) as refusal:
        names_in(tmp_path)
    named = f"{tmp_path}/a/.b.txt"
    assert str(refusal.value).endswith(f": {named}")
    assert list(expand_names([named], Reading())) == [named]

    write(".git/x.txt", "x")
    with pytest.raises(TextError, match=r": \S*/\.git and 1 more$"):
        names_in(tmp_path)
    assert list(expand_names([f"{tmp_path}/.git"], Reading())) == [f"{tmp_path}/.git/x.txt"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_is_read_once_and_pipe_notice_recognize_pipes(write, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    pipes, files = [str(tmp_path / "pipe"), str(tmp_path / "link")], [write("a.txt", "a"), str(tmp_path)]
    others = ["corpus:pydoc", str(tmp_path / "nowhere"), "a\0b", "x" * 999]

    assert [name for name in [*pipes, *files, *others, "-", "/dev/fd/63"] if is_read_once(name)] == [
        *pipes, "-", "/dev/fd/63",
    ]  # fmt: skip
    assert pipes[0] in pipe_notice([*files, *others, "-", *pipes])
    assert pipe_notice([*files, *others, "-"]) is None


@pytest.mark.parametrize(
    ("names", "settings", "named"),
    [
        (["a.txt"], {"glob": "*.txt"}, "glob"),
        (["a.csv", "-"], {"exclude": "x"}, "exclude"),
        (["a.txt"], {"field": "body"}, "field"),
        (["folder"], {"field": "body"}, "field"),
        (["a.txt", "corpus:pydoc"], {"on_bad_line": "skip"}, "on_bad_line"),
        (["-"], {"on_bad_line": "skip"}, "on_bad_line"),
        (["corpus:pydoc"], {"encoding": "cp949"}, "encoding"),
        (["corpus:pydoc"], {"errors": "ignore"}, "errors"),
    ],
)
def test_a_setting_that_does_not_apply_is_refused(write, tmp_path, monkeypatch, names, settings, named):
    monkeypatch.chdir(tmp_path)
    for name in ("folder/a.txt", "a.txt", "a.csv"):
        write(name, "a")

    with pytest.raises(ConfigError, match=rf"^{named}: "):
        reject_unused_settings(names, Reading(**settings))


@pytest.mark.parametrize(
    ("names", "settings"),
    [
        (["a.txt", "folder"], {"glob": "*.csv", "exclude": "x"}),
        (["a.zip"], {"glob": "*.csv", "field": "body"}),
        (["a.txt", "folder"], {"glob": "*.csv", "field": "body", "on_bad_line": "skip"}),
        (["-"], {"field": "body", "on_bad_line": "skip"}),
        (["a.json"], {"field": "body"}),
        (["a.tsv.gz"], {"field": "body"}),
        (["a.txt"], {}),
        (["a missing folder"], {"glob": "*.tex"}),
        (["corpus:pydoc"], {"encoding": "bytes"}),
        (["corpus:pydoc", "-"], {"encoding": "cp949"}),
    ],
)
def test_a_setting_that_applies_to_one_text_is_accepted(write, tmp_path, monkeypatch, names, settings):
    monkeypatch.chdir(tmp_path)
    write("folder/a.csv", "a")

    reject_unused_settings(names, Reading(**settings))


def test_name_too_long_for_a_file_is_not_a_folder():
    assert list(expand_names(["n" * 300], Reading())) == ["n" * 300]


@pytest.mark.parametrize(
    ("names", "settings", "are_lines"),
    [
        (["a.tsv"], {}, True),
        (["a.en", "a.ko"], {}, True),
        (["-"], {}, True),
        (["corpus:dates-iso"], {}, True),
        (["a.tsv", "a.jsonl.gz"], {}, False),
        (["a.zip"], {}, False),
        (["-"], {"source_field": "en"}, False),
        (["folder"], {"glob": "*.jsonl"}, False),
    ],
)
def test_sides_are_lines_unless_a_text_may_be_json_lines(names, settings, are_lines):
    assert sides_are_lines(names, Reading(task="translate", **settings)) is are_lines
