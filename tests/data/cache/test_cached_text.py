"""A cached text: documents, chunks, offsets and samples; and what is refused."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqgen.data.cache import cached_text
from seqgen.data.cache.cached_text import CachedText, Span

from ..caching import cache_text

DOCUMENTS = ["한국어 " * 250_000, "a\x00b\r\n", "🜂 " * 250_000, "end"]


def test_byte_order_mark_within_a_document_is_a_character(tmp_path):
    document = "\ufeff" + "\ufefflong " * 300_000

    text = cache_text(tmp_path, document)  # of two at its beginning one is the file's

    assert Span.whole(text).documents() == (document.removeprefix("\ufeff"),)
    for place in (0, 1, 2, 1_200_001):
        assert text.read(0, text.byte_offset(place)) == document[1 : place + 1]


def test_documents_follow_one_another(tmp_path):
    text = cache_text(tmp_path, *DOCUMENTS, "")

    assert Span.whole(text).documents() == tuple(DOCUMENTS)
    assert text.manifest.documents == 4
    assert text.manifest.characters == sum(map(len, DOCUMENTS))
    assert text.manifest.bytes == len("".join(DOCUMENTS).encode())
    assert [source.documents for source in text.manifest.sources] == [1, 1, 1, 1, 0]


def test_chunks_are_bounded_however_long_a_document_is(tmp_path):
    text = cache_text(tmp_path, *DOCUMENTS)

    assert max(len(chunk.encode()) for _, chunk in Span.whole(text).chunks()) <= cached_text.CHUNK_BYTES + 3


@pytest.fixture(scope="module")
def long_text(tmp_path_factory):
    return cache_text(tmp_path_factory.mktemp("long"), *DOCUMENTS)


@settings(max_examples=30)
@given(place=st.integers(0, sum(map(len, DOCUMENTS))))
def test_byte_offset_of_any_character(long_text, place):
    assert long_text.byte_offset(place) == len("".join(DOCUMENTS)[:place].encode())


@pytest.mark.parametrize("name", ["text.utf8", "documents.i64"])
def test_text_that_is_cut_short_is_refused(tmp_path, name):
    folder = cache_text(tmp_path, *DOCUMENTS).folder
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-8])

    with pytest.raises(OSError, match="cut short"):
        CachedText(folder)


def test_verify_notices_a_changed_byte(tmp_path):
    folder = cache_text(tmp_path, "some text").folder
    CachedText(folder).verify()
    (folder / "text.utf8").write_bytes(b"same text")

    with pytest.raises(OSError, match="changed"):
        CachedText(folder).verify()


def test_ranges_are_read_in_the_order_given(tmp_path):
    text = cache_text(tmp_path, "abcdef")

    assert list(text.chunks(np.array([[3, 5], [0, 2]]))) == [(0, "de"), (1, "ab")]


@settings(max_examples=30)
@given(st.lists(st.text(st.sampled_from("ab한\n"), min_size=1, max_size=60), min_size=1, max_size=5), st.integers(1, 9))
def test_samples_are_of_the_text_and_begin_documents_or_lines(documents, number):
    with tempfile.TemporaryDirectory() as folder:
        text = cache_text(Path(folder), *documents)
        begun = set()

        for document, sample in text.samples(number, 16):
            assert len(sample.encode()) <= 16
            assert sample in "".join(documents)
            if document not in begun:
                assert "".join(documents[document:]).startswith(sample)
            begun.add(document)

    assert 0 in begun


def test_samples_of_a_text_without_lines_begin_at_even_places(tmp_path):
    text = cache_text(tmp_path, "abcdefghijklmnopqrst")

    assert list(text.samples(2, 5)) == [(0, "abcde"), (0, "klmno")]


def test_samples_are_spread_evenly_over_a_long_document(tmp_path):
    text = cache_text(tmp_path, "".join(f"{number:05}\n" for number in range(1_000)))

    assert [sample[:5] for _, sample in text.samples(4, 60)] == ["00000", "00251", "00501", "00751"]


def test_manifest_of_a_text_has_at_most_256_mib(tmp_path):
    folder = cache_text(tmp_path, "text").folder
    with (folder / "manifest.json").open("r+b") as file:
        file.truncate((1 << 28) + 1)  # a hole, which takes no disk

    with pytest.raises(OSError, match="larger than 268,435,456 bytes"):
        CachedText(folder)
