"""Shards: whoever encodes which, the ids are those of each part in one call."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqgen import tokenizers
from seqgen.data.cache import encode as encoding
from seqgen.data.cache import stored_text
from seqgen.data.cache.encode import encode_portion, plan_shards, training_chunks
from seqgen.data.cache.stored_text import Span
from seqgen.tokenizers.base import MODEL_FILE
from seqgen.tokenizers.config import TokenizerConfig

from ...conftest import TEXT
from ..storing import store_text

ALPHABET = "ab \n\r\t\u3000\u2581\u0301\u0327é한\u1112\u1161🜂.'"
KINDS = ["char", "byte", "word", "unigram", "bpe"]
FORMS = ["none", "nfc", "nfd"]


@pytest.fixture(scope="module")
def built():
    """A tokenizer of each kind and Unicode form."""
    return {
        (kind, form): tokenizers.build([TEXT], TokenizerConfig(kind=kind, normalization=form))
        for kind in KINDS
        for form in FORMS
    }


def with_short_lines(tokenizer):
    """The same, but a subword tokenizer cuts every line after seven characters."""
    if tokenizer.kind not in {"unigram", "bpe"}:
        return tokenizer
    model = tokenizer.to_files()[MODEL_FILE]
    return type(tokenizer)(model, line_cap=7, normalization=tokenizer.normalization)


def encode_all(span, tokenizer):
    """Ids of each part, by shards."""
    ids, starts, counts = [], [], encoding.Counts()
    for shard in plan_shards(span):
        some = Span(span.text, shard.ranges(span.ranges))
        goes_on = shard.start > span.ranges[shard.first, 0]
        for encoded in encode_portion(some, tokenizer, "<u2", goes_on=goes_on, spell=True):
            starts += [counts.tokens + start for start in encoded.starts.tolist()]
            ids += encoded.ids.tolist()
            counts = counts.plus(encoded.counts)
    return [part.tolist() for part in np.split(np.array(ids), starts[1:])], counts


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40)
@given(
    documents=st.lists(
        st.text(st.sampled_from(ALPHABET), min_size=1, max_size=60)
        | st.sampled_from(["The sea. " * 9, "해 바다é" * 9]),
        min_size=1,
        max_size=6,
    ),
    shard=st.integers(1, 40),
    block=st.integers(4, 30),
)
def test_shards_give_the_ids_of_each_document_in_one_call(built, kind, form, documents, shard, block):
    tokenizer = with_short_lines(built[kind, form])
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoding, "SHARD", shard)
        patch.setattr(encoding, "FLUSH", 7)
        patch.setattr(encoding, "WINDOW", 5)
        span = Span.whole(store_text(Path(folder), *documents))
        patch.setattr(stored_text, "CHUNK_BYTES", block)

        found, counts = encode_all(span, tokenizer)

    texts = [document.removeprefix("\ufeff") for document in documents]
    assert found == [tokenizer.encode(text).tolist() for text in texts]
    assert counts.characters == sum(map(len, texts))
    assert counts.bytes == sum(len(text.encode()) for text in texts)
    assert counts.documents == len(documents)
    unknown = [tokenizer.unknown(text) for text in texts]
    assert counts.unknown == sum(sum(pieces.values()) for pieces in unknown)
    spelling = sum(n * tokenizer.unk_cost(piece) for pieces in unknown for piece, n in pieces.items())
    assert counts.unk_cost == pytest.approx(spelling)
    assert counts.changed == sum(map(tokenizer.changed_characters, texts))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_gigantic_line_is_encoded_a_piece_at_a_time(built, kind, form, tmp_path, monkeypatch):
    line = "the sea 한 e\u0301 " * 250_000
    tokenizer, seen = built[kind, form], []
    encode = type(tokenizer).encode
    monkeypatch.setattr(type(tokenizer), "encode", lambda self, text: seen.append(len(text)) or encode(self, text))

    ((found,), _) = encode_all(Span.whole(store_text(tmp_path, line)), tokenizer)

    assert max(seen) < 1.1 * (1 << 20)
    assert found == encode(tokenizer, line).tolist()


@pytest.mark.parametrize("form", FORMS)
def test_a_gigantic_word_is_cut_between_characters(built, form, tmp_path):
    word = "e\u0301" * 1_500_000

    ((found,), _) = encode_all(Span.whole(store_text(tmp_path, word)), built["word", form])

    assert 1 < len(found) < 10


def test_a_tokenizer_is_trained_on_whole_lines(tmp_path):
    text = "".join(f"{number} is a number\n" for number in range(200_000))

    chunks = list(training_chunks(Span.whole(store_text(tmp_path, text, "the other"))))

    assert "".join(chunks) == text + "the other"
    assert len(chunks) > 3
    assert all(chunk.endswith("\n") for chunk in chunks[:-1])
