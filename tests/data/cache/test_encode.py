"""Encoding a span, whole or in shards: the ids are those of each document in one call."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqgen import tokenizers
from seqgen.data.cache import cached_text
from seqgen.data.cache import encode as encoding
from seqgen.data.cache.cached_text import Span
from seqgen.data.cache.encode import Counts, IdsFiles, encode_span, plan_shards, training_chunks
from seqgen.tokenizers.base import MODEL_FILE
from seqgen.tokenizers.config import TokenizerConfig

from ...conftest import TEXT
from ..caching import cache_text

ALPHABET = "ab \n\r\t\u3000\u2581\u0301\u0327é한\u1112\u1161🜂.'"
KINDS = ["char", "byte", "word", "unigram", "bpe"]
PAIRS = [*((kind, "nfc") for kind in KINDS), ("char", "none"), ("word", "nfd"), ("bpe", "none"), ("unigram", "nfd")]
LONG_PAIRS = [("char", "nfd"), ("word", "none"), ("word", "nfd"), ("bpe", "nfc"), ("unigram", "none")]


@pytest.fixture(scope="module")
def built():
    """A tokenizer of each kind and Unicode form."""
    return {
        (kind, form): tokenizers.build([TEXT], TokenizerConfig(kind=kind, normalization=form))
        for kind, form in {*PAIRS, *LONG_PAIRS}
    }


def with_short_lines(tokenizer):
    """The same, but a subword tokenizer cuts every line after seven characters."""
    if tokenizer.kind not in {"unigram", "bpe"}:
        return tokenizer
    model = tokenizer.to_files()[MODEL_FILE]
    return type(tokenizer)(model, line_cap=7, normalization=tokenizer.normalization)


def encode_all(span, tokenizer, size=1 << 30):
    """Return the ids of each document, encoded in shards of about `size` bytes, and what was counted."""
    ids, starts, counts = io.BytesIO(), io.BytesIO(), Counts()
    files = IdsFiles(ids, starts, "<u2")
    for shard in plan_shards(span, size):
        part = Span(span.text, shard.ranges)
        counts = counts.plus(encode_span(part, tokenizer, files, continued=shard.continued, spell=True))
    first_ids = np.frombuffer(starts.getvalue(), "<i8")[1:]
    return [part.tolist() for part in np.split(np.frombuffer(ids.getvalue(), "<u2"), first_ids)], counts


@pytest.mark.parametrize(("kind", "form"), PAIRS)
@settings(max_examples=20)
@given(
    documents=st.lists(
        st.text(st.sampled_from(ALPHABET), min_size=1, max_size=60)
        | st.sampled_from(["The sea. " * 9, "해 바다é" * 9]),
        min_size=1,
        max_size=6,
    ),
    size=st.integers(1, 40),
    chunk=st.integers(4, 30),
)
def test_shards_give_the_ids_of_each_document_in_one_call(built, kind, form, documents, size, chunk):
    tokenizer = with_short_lines(built[kind, form])
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoding, "SEARCH_BYTES", 5)
        span = Span.whole(cache_text(Path(folder), *documents))
        patch.setattr(cached_text, "CHUNK_BYTES", chunk)

        found, counts = encode_all(span, tokenizer, size)

    texts = [document.removeprefix("\ufeff") for document in documents]
    assert found == [tokenizer.encode(text).tolist() for text in texts]
    assert counts.tokens == sum(map(len, found))
    assert counts.characters == sum(map(len, texts))
    assert counts.bytes == sum(len(text.encode()) for text in texts)
    assert counts.documents == len(documents)
    unknown = [tokenizer.unknown(text) for text in texts]
    assert counts.unknown == sum(sum(pieces.values()) for pieces in unknown)
    unk_cost = sum(n * tokenizer.unk_cost(piece) for pieces in unknown for piece, n in pieces.items())
    assert counts.unk_cost == pytest.approx(unk_cost)
    assert counts.changed == sum(map(tokenizer.changed_characters, texts))


def test_shards_are_of_about_the_size_asked_for(tmp_path):
    span = Span.whole(cache_text(tmp_path, "line\n" * 100, *["short\n"] * 50, "one long line " * 50))

    shards = plan_shards(span, 100)

    sizes = [Span(span.text, shard.ranges).bytes for shard in shards]
    assert sum(sizes) == span.bytes
    assert [shard.continued for shard in shards] == [False, *[True] * 4, *[False] * 4]
    assert sizes == [105, 105, 105, 105, 80 + 18, *[96] * 2, 90, 700]


@pytest.mark.parametrize(("kind", "form"), LONG_PAIRS)
def test_long_line_is_encoded_a_chunk_at_a_time(built, kind, form, tmp_path, monkeypatch):
    monkeypatch.setattr(cached_text, "CHUNK_BYTES", 1 << 14)
    line = "the sea 한 e\u0301 " * 5_000
    tokenizer, seen = built[kind, form], []
    encode = type(tokenizer).encode
    monkeypatch.setattr(type(tokenizer), "encode", lambda self, text: seen.append(len(text)) or encode(self, text))

    ((found,), _) = encode_all(Span.whole(cache_text(tmp_path, line)), tokenizer)

    assert max(seen) < 1.2 * (1 << 14)
    assert found == encode(tokenizer, line).tolist()


@pytest.mark.parametrize("form", ["none", "nfd"])
def test_long_word_is_cut_between_characters(built, form, tmp_path, monkeypatch):
    monkeypatch.setattr(cached_text, "CHUNK_BYTES", 1 << 14)
    monkeypatch.setattr("seqgen.tokenizers.word.LONG_WORD_CHARACTERS", 10_000)
    word = "e\u0301" * 15_000

    ((found,), _) = encode_all(Span.whole(cache_text(tmp_path, word)), built["word", form])

    assert 1 < len(found) < 10


def test_training_chunks_are_whole_lines(tmp_path, monkeypatch):
    monkeypatch.setattr(cached_text, "CHUNK_BYTES", 1 << 14)
    text = "".join(f"{number} is a number\n" for number in range(5_000))

    chunks = list(training_chunks(Span.whole(cache_text(tmp_path, text, "the other"))))

    assert "".join(chunks) == text + "the other"
    assert len(chunks) > 3
    assert all(chunk.endswith("\n") for chunk in chunks[:-1])


def test_watch_receives_a_megabyte_at_a_time_and_the_rest(built, tmp_path, monkeypatch):
    span = Span.whole(cache_text(tmp_path, *["0123456789"] * 5))
    monkeypatch.setattr(encoding, "CHUNK_BYTES", 20)
    watched = []

    encode_span(span, built["char", "none"], IdsFiles(io.BytesIO(), io.BytesIO(), "<u2"), watch=watched.append)

    assert watched == [20, 20, 10]
