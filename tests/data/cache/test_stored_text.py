from __future__ import annotations

import hashlib
import io
import json
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqgen.data.cache import stored_text
from seqgen.data.cache.stored_text import PROGRESS, TEXT, Span, StoredText, write_text
from seqgen.errors import TextError
from seqgen.sources import source as sources
from seqgen.sources.config import Reading

from ..storing import store_text

DOCUMENTS = ["한국어 " * 700_000, "a\x00b\r\n", "🜂 " * 400_000, "end"]


def test_a_byte_order_mark_within_a_long_document_is_a_character(tmp_path):
    document = "\ufeff" + "\ufefflong " * 300_000

    text = store_text(tmp_path, document)  # of two at its beginning one is the file's

    assert Span.whole(text).documents() == (document.removeprefix("\ufeff"),)
    for place in (0, 1, 2, 1_200_001):
        assert text.read(0, text.byte_of(place)) == document[1 : place + 1]


def test_documents_stand_one_after_another(tmp_path):
    text = store_text(tmp_path, *DOCUMENTS, "")

    assert Span.whole(text).documents() == tuple(DOCUMENTS)
    assert text.manifest.documents == 4
    assert text.manifest.characters == sum(map(len, DOCUMENTS))
    assert text.manifest.bytes == len("".join(DOCUMENTS).encode())
    assert [source.documents for source in text.manifest.sources] == [1, 1, 1, 1, 0]


def test_chunks_are_no_longer_than_a_block_however_long_a_document_is(tmp_path):
    text = store_text(tmp_path, *DOCUMENTS)

    assert max(len(chunk.encode()) for _, chunk in Span.whole(text).chunks()) <= stored_text.CHUNK_BYTES + 3


@settings(max_examples=30)
@given(place=st.integers(0, sum(map(len, DOCUMENTS))))
def test_a_character_is_found_by_its_number(tmp_path_factory, place):
    folder = tmp_path_factory.getbasetemp() / "characters"
    if not folder.exists():
        folder.mkdir()
        (folder / "here").write_text(str(store_text(folder, *DOCUMENTS).folder), "utf-8")
    text = StoredText(next(iter(map(type(folder), [(folder / "here").read_text("utf-8")]))))

    assert text.byte_of(place) == len("".join(DOCUMENTS)[:place].encode())


def test_one_document_is_known_by_the_hash_of_its_text_and_several_by_their_ends_too(tmp_path):
    assert store_text(tmp_path, "ab").manifest.sha256 == hashlib.sha256(b"ab").hexdigest()
    together, apart = store_text(tmp_path, "ab", "c"), store_text(tmp_path, "a", "bc")
    assert len({store_text(tmp_path, "abc").manifest.sha256, together.manifest.sha256, apart.manifest.sha256}) == 3


def test_lone_surrogates_of_json_are_replaced(tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "a\ud800b"}), "utf-8")

    write_text([str(tmp_path / "a.jsonl")], Reading(), tmp_path / "stored")

    assert StoredText(tmp_path / "stored").read(0, 5) == "a\ufffdb"


@pytest.fixture
def interrupted(tmp_path, monkeypatch):
    """Four files of which the third could not be read, with progress noted after each; then it can."""
    monkeypatch.setattr(stored_text, "PROGRESS_EVERY", 1)
    names = [str(tmp_path / f"{number}.txt") for number in range(4)]
    for name, content in zip(names, ["one", "two", b"\xff", "four"], strict=True):
        with open(name, "wb") as file:  # noqa: PTH123
            file.write(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(TextError):
        write_text(names, Reading(), tmp_path / "stored")
    assert (tmp_path / "stored" / PROGRESS).exists()
    (tmp_path / "2.txt").write_text("three", "utf-8")
    return names


def reads(monkeypatch):
    read: list[str] = []
    documents = sources.Source.documents
    monkeypatch.setattr(sources.Source, "documents", lambda self: read.append(self.name[-5]) or documents(self))
    return read


def test_what_was_killed_goes_on_after_the_last_whole_source(interrupted, tmp_path, monkeypatch):
    read = reads(monkeypatch)

    manifest = write_text(interrupted, Reading(), tmp_path / "stored")

    assert read == ["2", "3"]
    assert manifest == write_text(interrupted, Reading(), tmp_path / "straight")
    assert (tmp_path / "stored" / TEXT).read_bytes() == b"onetwothreefour"
    assert not (tmp_path / "stored" / PROGRESS).exists()


def test_a_note_of_progress_that_cannot_be_read_is_none(interrupted, tmp_path, monkeypatch):
    (tmp_path / "stored" / PROGRESS).write_text("{", "utf-8")
    read = reads(monkeypatch)

    write_text(interrupted, Reading(), tmp_path / "stored")

    assert read == ["0", "1", "2", "3"]


def test_a_source_that_was_changed_since_is_read_again(interrupted, tmp_path, monkeypatch):
    (tmp_path / "0.txt").write_text("ONE", "utf-8")
    read = reads(monkeypatch)

    write_text(interrupted, Reading(), tmp_path / "stored")

    assert read == ["0", "1", "2", "3"]
    assert (tmp_path / "stored" / TEXT).read_bytes() == b"ONEtwothreefour"


def test_what_came_from_stdin_is_not_taken_for_what_comes_from_it_now(tmp_path, monkeypatch):
    names = ["-", str(tmp_path / "0.txt"), str(tmp_path / "1.txt")]
    (tmp_path / "0.txt").write_text(" zero ", "utf-8")

    def write(stdin, last):
        monkeypatch.setattr(sources.sys, "stdin", SimpleNamespace(buffer=io.BytesIO(stdin)))
        (tmp_path / "1.txt").write_bytes(last)
        write_text(names, Reading(), tmp_path / "stored")

    monkeypatch.setattr(stored_text, "PROGRESS_EVERY", 1)
    with pytest.raises(TextError):
        write(b"then", b"\xff")
    assert (tmp_path / "stored" / PROGRESS).exists()
    write(b"now", b"one")

    assert (tmp_path / "stored" / TEXT).read_bytes() == b"now zero one"


@pytest.mark.parametrize("name", ["text.utf8", "documents.i64"])
def test_a_text_that_is_cut_short_is_none(tmp_path, name):
    folder = store_text(tmp_path, *DOCUMENTS).folder
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-8])

    with pytest.raises(OSError, match="cut short"):
        StoredText(folder)


def test_ranges_are_read_in_the_order_given(tmp_path):
    text = store_text(tmp_path, "abcdef")

    assert list(text.chunks(np.array([[3, 5], [0, 2]]))) == [(0, "de"), (1, "ab")]


@settings(max_examples=30)
@given(st.lists(st.text(st.sampled_from("ab한\n"), min_size=1, max_size=60), min_size=1, max_size=5), st.integers(1, 9))
def test_pieces_are_of_the_text_and_begin_documents_or_lines(documents, number):
    with tempfile.TemporaryDirectory() as folder:
        text = store_text(Path(folder), *documents)
        begun = set()

        for document, piece in text.pieces(number, 16):
            assert len(piece.encode()) <= 16
            assert piece in "".join(documents)
            if document not in begun:
                assert "".join(documents[document:]).startswith(piece)
            begun.add(document)

    assert 0 in begun


def test_pieces_are_spread_evenly_over_a_long_document(tmp_path):
    text = store_text(tmp_path, "".join(f"{number:05}\n" for number in range(1_000)))

    assert [piece[:5] for _, piece in text.pieces(4, 60)] == ["00000", "00251", "00501", "00751"]
