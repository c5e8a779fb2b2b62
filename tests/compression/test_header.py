"""The compressed file: what is damaged or from elsewhere is refused by name."""

from __future__ import annotations

import zlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqgen.compression.header import VERSION, CompressedFile, Fingerprint, digest
from seqgen.compression.layout import Layout
from seqgen.errors import RunError, TextError

HERE = Fingerprint("run", "weights", "0.1.0", "2.13.0", "2.4.1", "linux AVX2", "predictions")
FILE = CompressedFile("ngram", Layout("\n", 2, 2), HERE.to_bytes(), digest(b"text"), 300, b"code")
LAYOUTS = st.builds(Layout, st.sampled_from(["\n", "\r\n", "\r"]), st.integers(0, 2), st.integers(0, 2))


@given(
    st.integers(0, (1 << 63) - 1),
    st.binary(max_size=9),
    st.sampled_from([None, "weights", "ngram", "all"]),
    LAYOUTS,
)
def test_a_file_is_read_as_written(tokens, code, dynamic, layout):
    file = replace(FILE, tokens=tokens, code=code, dynamic=dynamic, layout=layout)

    assert CompressedFile.from_bytes(file.to_bytes(), "a.seqgen") == file


def test_all_but_the_code_takes_at_most_54_bytes():
    assert len(replace(FILE, tokens=1 << 27, code=b"").to_bytes()) <= 54


@pytest.mark.parametrize("bit", [1, 128])
def test_a_flipped_bit_anywhere_is_refused(bit):
    content = FILE.to_bytes()
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= bit
        with pytest.raises(TextError, match=r"a\.seqgen"):
            CompressedFile.from_bytes(bytes(damaged), "a.seqgen")


def test_a_file_cut_off_anywhere_is_refused():
    content = FILE.to_bytes()
    for length in range(len(content)):
        with pytest.raises(TextError, match=r"a\.seqgen"):
            CompressedFile.from_bytes(content[:length], "a.seqgen")
    with pytest.raises(TextError, match="damaged"):
        CompressedFile.from_bytes(content + b"\0", "a.seqgen")


@pytest.mark.parametrize(
    ("place", "values"),
    [
        (4, b"\4"),
        (4, b"\xff"),
        (5, b"\x24"),
        (5, b"\xff"),
        (46, b"\xff"),
        (46, b"\xff" * 9 + b"\1"),
        (46, b"\xff" * 20_000 + b"\1"),
    ],
)
def test_from_bytes_refuses_values_that_are_never_written(place, values):
    """What learns, the layout, and a number of tokens without an end or of more than 63 bits."""
    body = replace(FILE, tokens=1, code=b"").to_bytes()[:-4]
    changed = body[:place] + values + body[place + 1 :]

    with pytest.raises(TextError, match=r"a\.seqgen"):
        CompressedFile.from_bytes(changed + zlib.crc32(changed).to_bytes(4, "big"), "a.seqgen")


def test_another_file_is_refused():
    with pytest.raises(TextError, match="not a file that seqgen compressed"):
        CompressedFile.from_bytes(b"PK\3\4 a zip file, and a long one that no header would fit better", "a.seqgen")


def test_another_version_of_the_format_is_refused(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("seqgen.compression.header.VERSION", VERSION + 1)
        newer = FILE.to_bytes()

    with pytest.raises(TextError, match=f"version {VERSION + 1}.* {VERSION}"):
        CompressedFile.from_bytes(newer, "a.seqgen")


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("run", "another run"),
        ("weights", "other weights"),
        ("seqgen", r"seqgen .*0\.1\.0"),
        ("torch", r"torch .*2\.13\.0"),
        ("numpy", r"numpy .*2\.4\.1"),
        ("processor", "processor .*linux AVX2"),
        ("predictions", "machine"),
    ],
)
def test_a_fingerprint_that_differs_is_refused_by_the_part(part, words):
    there = replace(HERE, **{part: "other"})

    with pytest.raises(RunError, match=rf"a\.seqgen .*{words}"):
        HERE.check(there.to_bytes(), "a.seqgen")


def test_the_same_fingerprint_is_accepted():
    HERE.check(HERE.to_bytes(), "a.seqgen")
