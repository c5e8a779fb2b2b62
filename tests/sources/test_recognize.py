from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickle
import sqlite3
import struct
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from seqgen.sources.recognize import HEAD, recognize


def zipped(*names: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        for name in names:
            file.writestr(name, "application/epub+zip" if name == "mimetype" else "x")
    return packed.getvalue()


def tarred() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as file:
        file.addfile(tarfile.TarInfo("a.txt"))
    return packed.getvalue()


def database() -> bytes:
    connection = sqlite3.connect(":memory:")
    connection.execute("create table a (b)")
    return connection.serialize()


def array() -> bytes:
    packed = io.BytesIO()
    np.save(packed, np.zeros(3))
    return packed.getvalue()


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3", "a PDF document"),
        (zipped("[Content_Types].xml", "word/document.xml"), "a Word document"),
        (zipped("[Content_Types].xml", "xl/workbook.xml"), "a spreadsheet"),
        (zipped("mimetype", "META-INF/container.xml"), "an EPUB book"),
        (zipped("archive/data.pkl"), "a file of model weights"),
        (zipped("a.txt"), "a ZIP archive"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(9), "an office document"),
        (gzip.compress(b"a", mtime=0), "compressed by gzip"),
        (bz2.compress(b"a"), "compressed by bzip2"),
        (lzma.compress(b"a"), "compressed by xz"),
        (tarred(), "a tar archive"),
        (database(), "an SQLite database"),
        (pickle.dumps([1]), "a Python pickle"),
        (save({"a": np.zeros(3)}), "a file of model weights"),
        (array(), "a NumPy array"),
        (b"PAR1\x15\x04\x15\x00", "a Parquet file"),
        (b"\x89PNG\r\n\x1a\n\x00", "a picture"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "a picture"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", "an audio file"),
        (b"\x00\x00\x00\x18ftypmp42", "a video"),
        (b"MThd\x00\x00\x00\x06\x00\x01", "a MIDI file"),
        (b"MZ\x90\x00\x03", "a program"),
        (b"GGUF" + struct.pack("<IQ", 3, 1), "a file of model weights"),
    ],
)  # fmt: skip
def test_recognize_names_the_kind_of_a_file(content, what):
    found = recognize(content[:HEAD])

    assert found is not None
    assert found.what.startswith(what)
    assert found.describe("letters.bin").startswith(f"letters.bin is {what}")
    assert "{" not in found.describe("letters.bin")


@pytest.mark.parametrize(
    ("what", "heads"),
    [
        ("an RTF document", [b"{\\rtf1"]),
        ("a PostScript document", [b"%!PS-Adobe"]),
        ("a Kindle book", [bytes(60) + b"BOOKMOBI"]),
        ("a DjVu document", [b"AT&TFORM"]),
        ("compressed by Zstandard", [b"\x28\xb5\x2f\xfd"]),
        ("compressed by lz4", [b"\x04\x22\x4d\x18"]),
        ("a 7-Zip archive", [b"7z\xbc\xaf\x27\x1c"]),
        ("a RAR archive", [b"Rar!\x1a\x07"]),
        ("an HDF5 file", [b"\x89HDF\r\n\x1a\n"]),
        ("an Arrow file", [b"ARROW1\x00"]),
        ("a Feather file", [b"FEA1\x00"]),
        ("a picture", [b"II*\x00", b"MM\x00*", b"\x00\x00\x01\x00", b"GIF87a\x00", b"GIF89a\x00", b"BM\x00",
                       b"8BPS\x00", b"RIFF\x00\x00\x00\x00WEBP", b"\x00\x00\x00\x18ftypheic",
                       b"\x00\x00\x00\x18ftypavif"]),
        ("an audio file", [b"\xff\xfb", b"\xff\xf3", b"\xff\xf2", b"\x00\x00\x00\x18ftypM4A", b"OggS\x00", b"fLaC\x00",
                           b"ID3\x00"]),
        ("a video", [b"\x1a\x45\xdf\xa3", b"RIFF\x00\x00\x00\x00AVI ", b"FLV\x01\x00"]),
        ("a program or a compiled library",
         [b"\x7fELF", b"\x00asm", b"\xca\xfe\xba\xbe", b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe"]),
        ("a font", [b"\x00\x01\x00\x00\x00", b"OTTO\x00", b"wOFF\x00", b"wOF2\x00"]),
    ],
)  # fmt: skip
def test_recognize_knows_the_magic_numbers(what, heads):
    assert {found.what if (found := recognize(head)) else head for head in heads} == {what}


def test_describe_quotes_the_file_in_the_command():
    found = recognize(b"%PDF-1.7")

    assert "(pdftotext 'my letters.pdf')" in found.describe("my letters.pdf")
    assert found.describe("stdin").startswith("stdin is a PDF document: extract its text first (pdftotext FILE)")


@pytest.mark.skipif(sys.platform != "linux", reason="a program of another kind")
def test_recognize_names_a_program():
    assert recognize(Path(sys.executable).read_bytes()[:HEAD]).what.startswith("a program")


@pytest.mark.parametrize(
    "text",
    ["MZ is how it begins", "BM", "OggS", "ID3 tags", "GIF89a is a format", "PAR1 PAR2", "BZh9 is a level", "", "PK",
     "8BPS", "RIFF and WAVE", "GGUF", "<html>", '{"a": 1}'],
)  # fmt: skip
def test_a_text_that_starts_with_a_magic_number_is_text(text):
    assert recognize(text.encode()) is None


@given(st.text())
def test_utf8_without_nul_is_text(text):
    if "\0" not in text and not text.startswith(("%PDF-", "{\\rtf", "%!PS", "AT&TFORM")):
        assert recognize(text.encode()) is None


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32", "cp949"])
def test_text_in_other_encodings_is_text(encoding):
    assert recognize("나는 학교에 간다. BM MZ\n".encode(encoding)) is None
