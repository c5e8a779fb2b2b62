"""Memorization, against a plain search."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqgen.evaluation import memorization
from seqgen.evaluation.memorization import NGRAM, Memorization, measure_memorization


def plain(sample, documents):
    """Return the length of the longest copy and the copied share, by trying all substrings."""
    there = [
        (start, end)
        for start in range(len(sample))
        for end in range(start + 1, len(sample) + 1)
        if any(sample[start:end] in text for text in documents)
    ]
    longest = max((end - start for start, end in there), default=0)
    covered = {position for start, end in there if end - start >= memorization.NGRAM for position in range(start, end)}
    return longest, len(covered) / max(1, len(sample))


LETTERS = st.text(st.sampled_from("ab한\ud800"), max_size=24)


@given(
    st.lists(LETTERS, min_size=1, max_size=3), st.lists(st.lists(LETTERS, max_size=4), max_size=3), st.integers(1, 9)
)
@settings(max_examples=100)
def test_measure_memorization_agrees_with_a_plain_search(samples, documents, piece):
    texts = ["".join(chunks) for chunks in documents]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memorization, "NGRAM", 4)
        patch.setattr(memorization, "BLOCK_SIZE", piece)

        found = measure_memorization(samples, documents)

        for sample, one in zip(samples, found, strict=True):
            assert (len(one.longest_copy), one.copied_share) == plain(sample, texts)
            assert one.longest_copy == sample[one.start : one.start + len(one.longest_copy)]
            assert any(one.longest_copy in text for text in texts) or one.longest_copy == ""
            assert one.characters == len(sample)


TEXT = "".join(f"Line {number * number} of the text, which is number {number}.\n" for number in range(5000))


def test_measure_memorization_finds_a_copy_inside_other_text():
    copied = TEXT[100_000:100_123]

    (found,) = measure_memorization([f"§§§{copied}§§"], [[TEXT[:99_999], TEXT[99_999:100_050], TEXT[100_050:]]])

    assert found == Memorization(128, copied, 3, 123 / 128)


def test_measure_memorization_without_common_text_is_zero():
    assert measure_memorization(["§§", ""], [[TEXT]]) == [Memorization(2, "", 0, 0.0), Memorization(0, "", 0, 0.0)]
    assert measure_memorization(["text"], []) == [Memorization(4, "", 0, 0.0)]


def test_measure_memorization_finds_the_whole_text():
    text = TEXT[:20_000]

    (found,) = measure_memorization([text], [[text]])

    assert (found.longest_copy, found.copied_share) == (text, 1.0)


def test_a_copy_does_not_cross_documents():
    whole, cut = (
        measure_memorization(["abcdef"], [["abc", "def"]]),
        measure_memorization(["abcdef"], [["abc"], ["def"]]),
    )

    assert [found.longest_copy for found in (*whole, *cut)] == ["abcdef", "abc"]


def test_measure_memorization_of_one_repeated_letter():
    (found,) = measure_memorization(["a" * 2000], [["a" * 600_000]])

    assert (len(found.longest_copy), found.copied_share) == (2000, 1.0)


def test_hash_collisions_are_not_copies(monkeypatch):
    monkeypatch.setattr("seqgen.utils.hashing.BASE", 1)  # with which all orders of the same characters collide

    (found,) = measure_memorization(["abc" * NGRAM], [["cab" * 9 + "x" + "bac" * 99]])

    assert found.longest_copy == "cab" * 9
    assert found.copied_share == 0.0


def test_measure_memorization_takes_constant_memory():
    def peak(chunks):
        tracemalloc.start()
        try:
            measure_memorization([TEXT[:500]], [(TEXT for _ in range(chunks))])
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(1)  # numpy imports parts of itself at first use
    assert peak(24) < 1.1 * peak(8)
