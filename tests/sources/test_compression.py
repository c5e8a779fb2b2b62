"""Decompression by suffix."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma

import pytest

from seqgen.sources.compression import READ_ERRORS, SUFFIXES, decompressed

CONTENT = "나는 오늘 학교에 간다.\n".encode() * 99
PACKERS = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
PACKED = pytest.mark.parametrize("suffix", PACKERS)


def test_every_suffix_is_tested():
    assert {*PACKERS, ".zst"} == set(SUFFIXES)


@PACKED
def test_concatenated_files_are_one_text(suffix):
    packed = PACKERS[suffix](CONTENT) + PACKERS[suffix](b"the end")

    assert decompressed(io.BytesIO(packed), suffix, "it").read() == CONTENT + b"the end"


@PACKED
def test_read_returns_as_many_bytes_as_requested(suffix):
    file = decompressed(io.BytesIO(PACKERS[suffix](CONTENT)), suffix, "it")

    assert file.read(10) + file.read(7) == CONTENT[:17]
    assert file.read() == CONTENT[17:]
    assert file.read(1) == b""


@PACKED
def test_closing_leaves_the_compressed_file_open(suffix):
    below = io.BytesIO(PACKERS[suffix](CONTENT))

    with decompressed(below, suffix, "it") as file:
        file.read()

    assert not below.closed


@PACKED
@pytest.mark.parametrize("damage", [
    lambda packed: packed[:-1], lambda packed: packed[:20], lambda packed: b"no archive",
    lambda packed: packed[:40] + bytes(byte ^ 255 for byte in packed[40:50]) + packed[50:],
])  # fmt: skip
def test_damage_raises_one_of_the_read_errors(suffix, damage):
    with pytest.raises(READ_ERRORS):
        decompressed(io.BytesIO(damage(PACKERS[suffix](CONTENT))), suffix, "it").read()
