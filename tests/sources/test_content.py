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
def test_a_name_says_format_and_compression(name, suffixes):
    assert suffixes_of(name) == suffixes


@pytest.mark.parametrize("name", ["letters.pdf", "letters.txt", "letters.csv", "letters.html", "letters.jsonl"])
@pytest.mark.parametrize("errors", ["strict", "replace", "ignore"])
def test_what_is_not_text_is_named_whatever_it_is_called(read, name, errors):
    with pytest.raises(TextError, match=rf"{name} is a PDF document: extract its text first \(pdftotext \S+{name}\)"):
        read(name, PDF, errors=errors)


def test_as_bytes_it_is_read(read):
    assert read("letters.pdf", PDF, encoding="bytes") == (PDF.decode("latin-1"),)


def test_a_text_as_bytes_is_its_utf8():
    assert bytes_as_characters("é\udcff") == "\xc3\xa9\xff"
