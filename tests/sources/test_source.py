from __future__ import annotations

import bz2
import contextlib
import gzip
import hashlib
import io
import json
import lzma
import os
import re
import tempfile
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import pytest
import test
from hypothesis import given, settings
from hypothesis import strategies as st

from seqgen.errors import ConfigError, TextError
from seqgen.sources import compression
from seqgen.sources import source as sources
from seqgen.sources.config import Reading
from seqgen.sources.source import (
    Source,
    expand_names,
    is_read_once,
    load_documents,
    pipe_notice,
    read_documents,
    reject_unused_settings,
)

KOREAN = "나는 오늘 학교에 간다.\r\n끝\n"
PACKERS = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
PACKED = pytest.mark.parametrize("suffix", PACKERS)


@pytest.fixture
def write(tmp_path):
    def write(name: str, content: bytes | str) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return write


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


@PACKED
def test_a_compressed_file_is_decompressed_and_hashed_as_stored(write, suffix):
    content = PACKERS[suffix](KOREAN.encode() * 9)
    source = Source(write(f"a.txt{suffix}", content), Reading())

    assert ["".join(document) for document in source.documents()] == [KOREAN * 9]
    assert (source.size, source.sha256) == (len(content), hashlib.sha256(content).hexdigest())


def test_zstandard_is_decompressed(write):
    zstd = pytest.importorskip("backports.zstd" if compression._zstd is None else compression._zstd.__name__)

    assert load_documents([write("a.txt.zst", zstd.compress(KOREAN.encode()))]) == (KOREAN,)
    with pytest.raises(TextError, match="damaged or cut short"):
        load_documents([write("b.txt.zst", zstd.compress(KOREAN.encode())[:-1])])


def test_missing_zstandard_names_the_package(write, monkeypatch):
    monkeypatch.setattr(compression, "_zstd", None)

    with pytest.raises(TextError, match=r"a\.txt\.zst: .* pip install backports.zstd"):
        load_documents([write("a.txt.zst", b"")])


@PACKED
@pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda content: b"no archive, " * 9])
def test_a_damaged_compressed_file_is_refused(write, suffix, damage):
    name = write(f"a.txt{suffix}", damage(PACKERS[suffix](KOREAN.encode() * 999)))

    with pytest.raises(TextError, match=rf"a\.txt{suffix} is damaged or cut short"):
        load_documents([name])


def test_a_decompression_bomb_is_read_in_chunks(write):
    content = gzip.compress(gzip.compress(bytes(1 << 26), 9), 9)  # 64 MB
    documents = read_documents([write("bomb.gz", gzip.decompress(content))])
    document = next(documents)

    assert max(map(len, document)) <= 1 << 20


def test_a_json_line_is_a_document(write):
    lines = [{"text": "one\ntwo", "n": 1}, {"text": ""}, {"text": "\u2028 three"}]
    content = "\n\n".join(json.dumps(line, ensure_ascii=False) for line in lines)

    assert load_documents([write("a.jsonl", content)]) == ("one\ntwo", "\u2028 three")
    assert load_documents([write("a.ndjson.gz", gzip.compress(content.encode()))]) == ("one\ntwo", "\u2028 three")


def test_place_is_that_of_the_latest_document(write):
    lines = Source(write("a.jsonl", '{"text": "one"}\n\n{"text": "two"}\n'), Reading())
    plain = Source(write("a.txt", "one\ntwo\n"), Reading())

    assert [lines.place for _ in lines.documents()] == [f"the document on line {n} of {lines.name}" for n in (1, 3)]
    assert [plain.place for _ in plain.documents()] == [plain.name]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (
            '{"body": "b", "title": "t"}',
            r"line 2 has no field 'text'.*--field.*has: body, title",
        ),
        ('{"text": "a"', r"line 2, column 13 is not valid JSON \(Expecting ',' delimiter\); each line"),
        ("[" * 100_000, "line 2 is not valid JSON"),
        ('["text"]', "line 2 is an array, not an object"),
        ('{"text": 3}', "line 2: the field 'text' is a number, not a string.*--field"),
        ('{"text": null}', "line 2: the field 'text' is null, not a string"),
        ('{"text": true}', "line 2: the field 'text' is true or false, not a string"),
        ('{"text": ["a"]}', "line 2: the field 'text' is an array, not a string"),
    ],
)
def test_a_line_without_a_document_is_refused(write, line, reason):
    with pytest.raises(TextError, match=rf"a\.jsonl, {reason}"):
        load_documents([write("a.jsonl", f'{{"text": "a"}}\n{line}\n')])


def test_stdin_is_plain_text_or_with_a_field_json_lines(monkeypatch):
    def stdin(content: bytes) -> None:
        monkeypatch.setattr(sources.sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))

    stdin(KOREAN.encode())
    assert load_documents(["-"]) == (KOREAN,)
    stdin(b'{"t": "a"}\n{"t": "b"}\n')
    assert load_documents(["-"], Reading(field="t")) == ("a", "b")
    monkeypatch.setattr(sources.sys, "stdin", None)
    with pytest.raises(TextError, match="stdin is closed"):
        load_documents(["-"])


def test_unselected_files_of_a_directory_are_noted(write, tmp_path):
    for name in ("folder/a.txt", "folder/b.md", "folder/x/c.md", "folder/.hidden.md", "other/d.txt"):
        write(name, "text")
    notes: list[str] = []

    load_documents([str(tmp_path / "folder"), str(tmp_path / "other")], note=notes.append)

    assert notes == [f"2 files of {tmp_path}/folder do not match --glob '*.txt': 2 *.md"]


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


def test_load_documents_refuses_empty_files(write):
    with pytest.raises(TextError, match=r"a\.txt and 1 more is empty"):
        load_documents([write("a.txt", ""), write("b.txt", b"\xef\xbb\xbf")])


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
    write("folder/a.txt", "a")

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
        (["corpus:pydoc"], {"encoding": "bytes"}),
        (["corpus:pydoc", "-"], {"encoding": "cp949"}),
    ],
)
def test_a_setting_that_applies_to_one_text_is_accepted(write, tmp_path, monkeypatch, names, settings):
    monkeypatch.chdir(tmp_path)
    write("folder/a.csv", "a")

    reject_unused_settings(names, Reading(**settings))


@pytest.mark.parametrize("name", ["https://example.com/a.txt?b=c&d", "s3://bucket/a.txt"])
def test_a_url_is_refused_with_a_download_command(name):
    with pytest.raises(TextError, match=rf"^{re.escape(name)} is a URL; download it first \(curl -LO "):
        load_documents([name])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_an_archive_through_a_pipe_is_refused(tmp_path):
    pipe = tmp_path / "a.zip"
    os.mkfifo(pipe)
    writer = Thread(target=lambda: os.close(os.open(pipe, os.O_WRONLY)))
    writer.start()

    with pytest.raises(TextError, match=r"a\.zip comes through a pipe"):
        load_documents([str(pipe)])
    writer.join()


def test_stdin_that_is_not_text_is_refused(monkeypatch):
    monkeypatch.setattr(sources.sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"%PDF-1.7")))

    with pytest.raises(TextError, match=r"^stdin is a PDF document"):
        load_documents(["-"])


def test_skipped_lines_are_noted_once_per_source(write):
    notes: list[str] = []
    names = [write(f"{name}.jsonl", '{"text": "good"}\n{}\n[]\n') for name in "ab"]

    read = load_documents(names, Reading(on_bad_line="skip"), notes.append)

    assert read == ("good", "good")
    assert [note.split(";")[0] for note in notes] == [
        f"2 lines, rows or elements of {name} are skipped" for name in names
    ]
    assert "a.jsonl, line 2 has no field 'text'" in notes[0]


def test_a_file_name_that_is_not_utf8_is_read(tmp_path):
    name = os.fsdecode(b"caf\xe9.txt")
    try:
        (tmp_path / name).write_bytes(b"text")
    except OSError:
        pytest.skip("this file system takes no such name")

    assert load_documents([str(tmp_path)]) == ("text",)
    assert list(expand_names([str(tmp_path)], Reading())) == [f"{tmp_path}/{name}"]


def test_replaced_and_dropped_bytes_are_counted(write):
    name = write("a.txt", b"a\xff\xfe b \xe3\x81 c")

    for errors, expected in (("replace", "a\ufffd\ufffd b \ufffd c"), ("ignore", "a b  c")):
        source = Source(name, Reading(errors=errors))
        assert ["".join(document) for document in source.documents()] == [expected]
        assert source.issues.ill_formed == 3


@pytest.mark.parametrize(("errors", "expected"), [
    ("strict", "a\ufffd\ufffdb🜂"), ("replace", "a\ufffd\ufffdb🜂"), ("ignore", "ab🜂"),
])  # fmt: skip
def test_lone_surrogates_of_json_are_counted(write, errors, expected):
    source = Source(
        write("a.jsonl", '{"text": "a\\ud800\\ud801b\\ud83d\\udf02"}\n{"text": "c"}\n'), Reading(errors=errors)
    )

    assert ["".join(document) for document in source.documents()] == [expected, "c"]
    assert source.issues.ill_formed == 2


def test_lone_surrogates_and_invalid_bytes_are_counted_together(write):
    source = Source(write("a.jsonl", b'{"text": "\\ud800 \xff \xfe"}\n'), Reading(errors="replace"))

    assert ["".join(document) for document in source.documents()] == ["\ufffd \ufffd \ufffd"]
    assert source.issues.ill_formed == 3


@pytest.mark.parametrize("errors", ["strict", "replace", "ignore"])
def test_lone_surrogates_of_utf7_are_counted(write, errors):
    source = Source(write("a.txt", b"a+2AA-b"), Reading(encoding="utf-7", errors=errors))

    assert ["".join(document) for document in source.documents()] == ["ab" if errors == "ignore" else "a\ufffdb"]
    assert source.issues.ill_formed == 1


def test_the_offset_of_an_invalid_byte_is_that_in_the_file(write):
    with pytest.raises(TextError, match=r"a\.txt is not valid utf-8 at byte 3000000 \(0xff\)"):
        load_documents([write("a.txt", b"x" * 3_000_000 + b"\xff")])


LEGACY = sorted(
    path for path in Path(test.__file__).with_name("cjkencodings").glob("*.txt") if "-utf8" not in path.name
)


@pytest.mark.skipif(not LEGACY, reason="this Python was installed without its own tests")
def test_legacy_encodings_decode_the_files_of_cpython():
    for path in LEGACY:
        twin = path.with_name(f"{path.stem}-utf8.txt")
        assert load_documents([str(path)], Reading(encoding=path.stem)) == load_documents([str(twin)]), path.name


@settings(max_examples=40)
@given(content=st.binary(max_size=200), name=st.sampled_from(["a.txt", "a.jsonl", "a.txt.gz", "a.xz", "a.jsonl.bz2"]))
def test_any_bytes_are_documents_or_a_text_error(content, name):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(content)
        with contextlib.suppress(TextError):
            assert all(load_documents([str(path)]))


def test_name_too_long_for_a_file_is_not_a_folder():
    assert list(expand_names(["n" * 300], Reading())) == ["n" * 300]
