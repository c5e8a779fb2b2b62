from __future__ import annotations

import gzip
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqgen.errors import ConfigError
from seqgen.sources.config import Reading
from seqgen.sources.content import ReadIssues
from seqgen.sources.documents import cut_documents
from seqgen.sources.names import reject_unused_settings
from seqgen.sources.source import load_documents


def cut(text: str, unit: str, size: int = 1 << 20) -> tuple[list[str], int]:
    """The documents of a text that comes in chunks, and the number of blank lines that were skipped."""
    issues = ReadIssues()
    chunks = (text[start : start + size] for start in range(0, len(text), size))
    return ["".join(document.chunks) for document in cut_documents(chunks, unit, "a.txt", issues)], issues.empty


@pytest.mark.parametrize(
    ("text", "documents", "empty"),
    [
        ("a\nb\r\nc\rd", ["a", "b", "c", "d"], 0),
        ("a\n", ["a"], 0),
        ("a\n\n \t\nb\n\r\n", ["a", "b"], 3),
        ("\n\r\r\na", ["a"], 3),
        ("a\n  ", ["a"], 1),
        ("a\vb\fc\x1cd\x85e\u2028f", ["a\vb\fc\x1cd\x85e\u2028f"], 0),
        ("  a b \n c", ["  a b ", " c"], 0),
        ("", [], 0),
    ],
)
def test_line_ends_at_lf_crlf_and_cr_only(text, documents, empty):
    assert cut(text, "line") == (documents, empty)


@pytest.mark.parametrize(
    ("text", "documents", "empty"),
    [
        ("a\nb\n\nc\n", ["a\nb", "c"], 0),
        ("a\r\nb\r\n\r\nc", ["a\r\nb", "c"], 0),
        ("a\rb\r\rc", ["a\rb", "c"], 0),
        ("\n\na\n \t\n\n\nb\n\n", ["a", "b"], 4),
        (" a\n  b \n\n c", [" a\n  b ", " c"], 0),
        ("a", ["a"], 0),
        ("", [], 0),
    ],
)
def test_paragraphs_have_blank_lines_between_them(text, documents, empty):
    assert cut(text, "paragraph") == (documents, empty)


TEXTS = st.text(st.sampled_from("ab \t\n\r\x85\u2028"), max_size=60)


@given(text=TEXTS, size=st.integers(1, 9))
def test_chunks_change_no_document(text, size):
    for unit in ("file", "line", "paragraph"):
        assert cut(text, unit, size) == cut(text, unit)


@given(text=TEXTS)
def test_lines_are_complete_but_for_blank_ones(text):
    lines = re.split("\r\n|\n|\r", text)

    documents, empty = cut(text, "line")

    assert documents == [line for line in lines if line.strip()]
    assert empty == len(lines) - len(documents) - (lines[-1] == "")


@given(text=TEXTS)
def test_paragraphs_are_complete_but_for_blank_lines(text):
    documents, _ = cut(text, "paragraph")

    assert "\n".join(documents).split() == text.split()
    assert all(line.strip() for document in documents for line in re.split("\r\n|\n|\r", document))


def test_place_is_the_first_line_of_the_document():
    documents = cut_documents(["\na\nb\n\n\nc"], "paragraph", "a.txt", ReadIssues())

    places = ["".join(document.chunks) and document.place for document in documents]
    assert places == ["the document on line 2 of a.txt", "the document on line 6 of a.txt"]


def test_long_line_is_read_in_chunks():
    (document,) = [list(one.chunks) for one in cut_documents(["a" * 9, "b" * 9, "\n"], "line", "", ReadIssues())]

    assert document == ["a" * 9, "b" * 9]


def test_documents_of_every_kind_of_plain_source(write, tmp_path, monkeypatch):
    reading = Reading(documents="line")
    (tmp_path / "folder").mkdir()
    write("folder/a.txt", "one\ntwo")
    write("folder/b.txt", "three\n")
    sources = [str(tmp_path / "folder"), write("c.gz", gzip.compress(b"four\r\n\r\nfive")), "-"]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"six\nseven")))
    notes = []

    read = load_documents(sources, reading, notes.append)

    assert read == ("one", "two", "three", "four", "five", "six", "seven")
    assert read.end_bytes == 7
    assert len(notes) == 1
    assert "1 empty line" in notes[0]
    assert len(load_documents(["corpus:hello"], reading)) > 1


def test_records_stay_documents_and_have_no_end_bytes(write):
    names = [write("a.jsonl", '{"text": "one\\ntwo"}\n'), write("b.txt", "three\n\nfour")]

    read = load_documents(names, Reading(documents="paragraph"))

    assert (read, read.end_bytes) == (("one\ntwo", "three", "four"), 4)
    assert load_documents(names).end_bytes == 0


def test_in_file_has_the_end_of_each_document(write):
    names = [write("a.jsonl", '{"text": "one"}\n{"text": "two"}\n'), write("b.txt", "three\n\nfour\n")]

    read = load_documents(names, Reading(documents="paragraph"))

    assert read.end_sizes == (0, 0, 2, 2)
    assert read.in_file == "onetwothree\n\nfour\n\n"


def test_places_name_the_file_and_the_line_of_each_document(write):
    names = [write("a.jsonl", '{"text": "one"}\n{"text": ""}\n{"text": "two"}\n'), write("b.txt", "\nthree\n\nfour\n")]

    lines, files = load_documents(names, Reading(documents="line")), load_documents(names[1:])

    assert [place.removeprefix("the document on ") for place in lines.places] == [
        f"line 1 of {names[0]}", f"line 3 of {names[0]}", f"line 2 of {names[1]}", f"line 4 of {names[1]}"
    ]  # fmt: skip
    assert files.places == (names[1],)


def test_documents_are_refused_where_they_have_no_effect(write):
    name = write("a.jsonl", '{"text": "one"}\n')
    with pytest.raises(ConfigError, match=r"^documents: .*a\.jsonl"):
        load_documents([name], Reading(documents="line"))
    with pytest.raises(ConfigError, match=r"documents: .*bytes"):
        Reading.of(documents="line", encoding="bytes")

    reject_unused_settings([name], Reading().with_defaults_of(Reading(documents="line")))


def test_default_documents_do_not_replace_given_ones():
    lines = Reading(documents="line")

    assert Reading().with_defaults_of(lines).documents == "line"
    assert Reading(documents="file").with_defaults_of(lines).documents == "file"
    assert Reading(encoding="bytes").with_defaults_of(lines) == Reading(encoding="bytes")
