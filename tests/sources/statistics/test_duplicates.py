"""What is said twice, exactly while there is room and as an estimate after."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqgen.sources.statistics.duplicates import Duplicates, hasher


def collect(texts, **options):
    duplicates = Duplicates(**options)
    known = [duplicates.add(hasher(text).digest(), len(text)) for text in texts]
    return duplicates, known


@given(st.lists(st.text(max_size=3), max_size=40))
def test_with_room_for_all_it_is_exact(texts):
    duplicates, known = collect(texts)

    assert known == [text in texts[:index] for index, text in enumerate(texts)]
    assert duplicates.copies == len(texts) - len(Counter(texts))
    repeated = sum(len(text) for text, again in zip(texts, known, strict=True) if again)
    assert duplicates.share == pytest.approx(repeated / max(1, sum(map(len, texts))))
    assert duplicates.sampled == 1


def test_without_room_it_is_near():
    texts = [f"line {number % 6000:5}" for number in range(9000)]

    duplicates, _ = collect(texts, limit=1000)

    assert duplicates.sampled >= 6
    assert duplicates.copies == pytest.approx(3000, rel=0.15)
    assert duplicates.share == pytest.approx(1 / 3, rel=0.1)


def test_a_hash_may_be_fed_in_pieces():
    pieces = hasher("한국")
    pieces.update("어\ud800".encode("utf-8", "surrogatepass"))

    assert pieces.digest() == hasher("한국어\ud800").digest()
