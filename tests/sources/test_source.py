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

from seqgen.errors import TextError
from seqgen.sources import compression
from seqgen.sources import source as sources
from seqgen.sources.config import Reading
from seqgen.sources.names import expand_names
from seqgen.sources.source import LoadedDocuments, Source, load_documents, read_documents

KOREAN = "나는 오늘 학교에 간다.\r\n끝\n"
PACKERS = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
PACKED = pytest.mark.parametrize("suffix", PACKERS)


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


def test_load_documents_refuses_empty_files(write):
    with pytest.raises(TextError, match=r"a\.txt and 1 more is empty"):
        load_documents([write("a.txt", ""), write("b.txt", b"\xef\xbb\xbf")])


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


def test_first_characters_of_documents_cut_the_last_one_which_then_has_no_end():
    documents = LoadedDocuments.of(["one", "", "three"], [1, 1, 1], places=["a", "b", "c"])

    cut = documents.first(5)

    assert list(cut) == ["one", "", "th"]
    assert (cut.end_sizes, cut.ends, cut.places) == ((1, 1, 0), (True, True, False), ("a", "b", "c"))
    assert list(documents.first(3)) == ["one"]
    whole = documents.first(8)
    assert (whole, whole.end_sizes, whole.ends) == (documents, documents.end_sizes, documents.ends)
