from __future__ import annotations

import pytest

from seqgen.errors import TextError
from seqgen.sources.content import bytes_as_characters, suffixes_of

PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"


@pytest.mark.parametrize(
    ("name", "suffixes"),
    [
        ("a.txt", (".txt", "")), ("a", ("", "")), ("A.JSONL.GZ", (".jsonl", ".gz")), ("a.tar.xz", (".tar", ".xz")),
        ("a.tgz", (".tar", ".gz")), ("a.gz", ("", ".gz")), ("dir.zip/a", ("", "")),
    ],
)  # fmt: skip
def test_suffixes_of_returns_format_and_compression(name, suffixes):
    assert suffixes_of(name) == suffixes


@pytest.mark.parametrize("name", ["letters.pdf", "letters.txt", "letters.csv", "letters.html", "letters.jsonl"])
@pytest.mark.parametrize("errors", ["strict", "replace", "ignore"])
def test_a_file_that_is_not_text_is_refused_under_any_suffix(read, name, errors):
    with pytest.raises(TextError, match=rf"{name} is a PDF document: extract its text first \(pdftotext \S+{name}\)"):
        read(name, PDF, errors=errors)


def test_a_file_that_is_not_text_is_read_as_raw_bytes(read):
    assert read("letters.pdf", PDF, encoding="bytes") == (PDF.decode("latin-1"),)


def test_bytes_as_characters_are_those_of_utf8():
    assert bytes_as_characters("é\udcff") == "\xc3\xa9\xff"
