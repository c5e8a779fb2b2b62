"""What is on both sides of a split is found by its share, and what ordinary text repeats is not."""

from __future__ import annotations

import random
import tracemalloc

import numpy as np
import pytest

from seqgen.data import leakage
from seqgen.data.cache.cached_text import Span
from seqgen.data.config import DataConfig
from seqgen.data.leakage import (
    MIN_DOCUMENT_BYTES,
    NOTICE_SHARE,
    PAIR_NOTICE_SHARE,
    WINDOW_CHARACTERS,
    PairLeakage,
    find_leakage,
    find_pair_leakage,
)
from seqgen.data.split import split_text

from .caching import cache_text

NEWLINES = ["\n", "\r\n", "\r"]
LINES = [f"line {number:03} of a text that is long enough to be seen in windows" for number in range(9)]


def names(number, seed=0):
    """Different names of four to ten letters."""
    drawn = random.Random(seed)
    made = {
        "".join(drawn.choice("bcdfgklmnprstvz") + drawn.choice("aeiou") for _ in range(drawn.randint(2, 5))).title()
        for _ in range(2 * number)
    }
    return drawn.sample(sorted(made), number)


def paragraphs(number, length, seed=0):
    """Different paragraphs of some `length` characters, made of the same few words."""
    drawn, words = random.Random(seed), [name.lower() for name in names(300, seed)]
    return [" ".join(drawn.choice(words) for _ in range(length // 4))[:length] for _ in range(number)]


def shuffled(pieces):
    return random.Random(1).sample(pieces, len(pieces))


@pytest.fixture
def span(tmp_path):
    return lambda *documents: Span.whole(cache_text(tmp_path, *documents))


@pytest.fixture
def after_split(tmp_path):
    """What is found after a text was split as by default."""

    def found(text, **settings):
        split = split_text(cache_text(tmp_path, text), DataConfig(**settings))
        return find_leakage(split.train, split.valid)

    return found


@pytest.mark.parametrize("newline", NEWLINES)
@pytest.mark.parametrize("pieces", [names(2_000), paragraphs(60, 700)], ids=["names", "paragraphs"])
def test_duplicates_are_found_and_unique_text_is_not(after_split, pieces, newline):
    twice = after_split(newline.join(shuffled(pieces * 2)))
    once = after_split(newline.join(pieces))

    assert twice.share > 0.8
    assert twice.is_notable
    assert once.share < 0.02
    assert not once.is_notable


@pytest.mark.parametrize("newline", NEWLINES)
def test_training_text_as_validation_text_is_found_whole(span, newline):
    text = newline.join([*names(300), "한국어 문장이 하나 더 있다.", LINES[0]])

    found = find_leakage(span(text), span(text))

    assert found.found == found.looked_for > 1_000
    assert str(found).startswith("100% ")


@pytest.mark.parametrize("valid_newline", NEWLINES)
@pytest.mark.parametrize("newline", NEWLINES)
def test_line_ends_do_not_matter(span, newline, valid_newline):
    lines = [*paragraphs(6, 90), *names(60)]

    found = find_leakage(span(newline.join(lines[3:36])), span(valid_newline.join(lines)))

    assert found.share == pytest.approx(0.5, abs=0.02)
    assert found.looked_for == pytest.approx(sum(map(len, lines)), rel=0.02)


@pytest.mark.parametrize("newline", NEWLINES)
@pytest.mark.parametrize("common", [["Yes.", "No."], ["}", "else {", "return 0;"], ["ROMEO:", "JULIET:", "", "All:"]])
def test_recurring_short_lines_are_not_a_leak(after_split, common, newline):
    drawn = random.Random(2)
    text = newline.join(line for one in paragraphs(900, 60) for line in (drawn.choice(common), one))

    found = after_split(text)

    assert 0 < found.share < NOTICE_SHARE / 2
    assert not found.is_notable


@pytest.mark.parametrize(
    "template",
    [
        "{} INFO service.worker.pool: heartbeat from node {} accepted, queue empty",
        "10.0.0.{1} - - GET /page?id={0} HTTP/1.1 200 Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML)",
    ],
)
def test_log_lines_with_different_numbers_are_not_a_leak(after_split, template):
    drawn = random.Random(4)

    found = after_split(
        "".join(template.format(drawn.randrange(10**6), drawn.randrange(20)) + "\n" for _ in range(5_000))
    )

    assert found.looked_for > 1_000
    assert found.share < NOTICE_SHARE / 2


def test_different_lines_count_once_by_their_length(span):
    other = "x" * MIN_DOCUMENT_BYTES
    found = find_leakage(span("ab\nab\ncde\n" + "y" * MIN_DOCUMENT_BYTES), span(f"ab\nab\nab\nfghi\n{other}\n\n \n"))

    assert (found.found, found.looked_for) == (2, 2 + 4 + MIN_DOCUMENT_BYTES + 1)


def test_short_documents_are_not_looked_for(span):
    names, line = ["Anna", "Ida", "Anna"], "x" * MIN_DOCUMENT_BYTES

    assert find_leakage(span(*names), span(*names)).looked_for == 0
    assert find_leakage(span(*names, line), span(*names, line)).looked_for == MIN_DOCUMENT_BYTES


@pytest.mark.parametrize("size", [50, 1 << 16])
def test_documents_of_a_line_are_compared_as_lines_of_a_text(span, monkeypatch, size):
    monkeypatch.setattr(leakage, "JOINED_CHARACTERS", size)
    train, valid = [*paragraphs(20, 60), *paragraphs(3, 300)], [*paragraphs(9, 60), *paragraphs(5, 300, seed=1)]

    found = find_leakage(span(*train), span(*valid))

    assert found == find_leakage(span("\n".join(train)), span("\n".join(valid)))
    assert 0 < found.found < found.looked_for


def test_passage_is_found_at_any_offset(span):
    passage = paragraphs(1, 600)[0]

    found = find_leakage(span("Before it: " + passage), span(passage[100:500] + " and after"))

    assert found.share > 0.9
    assert find_leakage(span(passage), span(passage[: WINDOW_CHARACTERS - 1])).found == 0


def test_documents_and_parts_of_documents_are_compared(tmp_path, span):
    assert find_leakage(span(*LINES[:4]), span(*LINES[:4])).share == 1
    text = cache_text(tmp_path, *LINES)
    train, valid = Span(text, np.array([[0, 30]])), Span(text, np.array([[35, 60]]))

    assert find_leakage(train, valid).found == 0


def test_sampled_hashes_give_the_same_share(span, monkeypatch):
    both, only = paragraphs(40, 500, seed=3), paragraphs(60, 500, seed=4)
    train, valid = span("\n".join(both)), span("\n".join(both + only))
    exact = find_leakage(train, valid)
    monkeypatch.setattr(leakage, "MAX_HASHES", 1_000)

    sampled = find_leakage(train, valid)

    assert exact.share == pytest.approx(0.4, abs=0.02)
    assert sampled.share == pytest.approx(exact.share, abs=0.1)
    assert sampled.looked_for == pytest.approx(exact.looked_for, rel=0.2)


def test_leakage_memory_does_not_grow_with_the_text(span, monkeypatch):
    monkeypatch.setattr("seqgen.data.cache.cached_text.CHUNK_BYTES", 1 << 14)
    monkeypatch.setattr(leakage, "MAX_HASHES", 1 << 10)
    part = "\n".join(paragraphs(100, 500)) + "\n"

    def peak(times):
        train, valid = span(part * times), span("\n".join(paragraphs(100 * times, 500, seed=5)))
        tracemalloc.start()
        try:
            find_leakage(train, valid)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(2)
    assert peak(12) < 1.3 * peak(4)


def test_leak_is_notable_from_the_notice_share_on():
    assert leakage.Leakage(found=25, looked_for=100).is_notable
    assert not leakage.Leakage(found=24, looked_for=100).is_notable


def test_empty_validation_text_has_no_leak(tmp_path, span):
    text = cache_text(tmp_path, "ab")

    assert find_leakage(span("ab"), Span(text, np.empty((0, 2), np.int64))).share == 0


# --- pairs


def test_pairs_are_compared_whole_however_short_they_are(span):
    train = span("1", "one", "1", "one", "2", "two", "3", "three")
    valid = span("1", "one", "2", "zwei", "4", "three", "1", "one", "22", "two")

    found = find_pair_leakage(train, valid, "translate")

    assert (found.pairs, found.whole, found.sources) == (5, 2, 3)
    assert (found.share, found.is_notable) == (0.4, True)
    for words in ("40% ", "60% ", "source", "same target"):
        assert words in str(found)


def test_message_about_pairs_has_the_words_of_the_task():
    whole = PairLeakage(task="tag", pairs=10, whole=3, sources=3)

    assert "30% of the validation sentences" in str(whole)
    assert "same list of tags:" in str(whole)  # no second share, which would be the same
    assert "label" in str(PairLeakage(task="classify", pairs=10, whole=3, sources=4))


@pytest.mark.parametrize(
    ("train", "valid"),
    [
        (["ab", "ba", "a", "a", "abc", "cba"], ["b", "b", "bc", "cb", "ba", "ab"]),  # reversal, of few letters
        (["1.2.26", "2026-02-01", "3.2.26", "2026-02-03"], ["1 Feb", "2026-02-01"]),  # a day in another form
        (["Korean", "Kim", "Korean", "Lee", "Irish", "Byrne"], ["Korean", "Park", "Irish", "Doyle"]),  # by a label
    ],
)
def test_pairs_that_are_not_repeated_are_not_a_leak(span, train, valid):
    found = find_pair_leakage(span(*train), span(*valid), "translate")

    assert (found.whole, found.is_notable) == (0, False)


def test_leak_of_pairs_is_notable_from_its_notice_share_on():
    whole = round(100 * PAIR_NOTICE_SHARE)
    assert PairLeakage(task="tag", pairs=100, whole=whole, sources=whole).is_notable
    assert not PairLeakage(task="tag", pairs=100, whole=whole - 1, sources=100).is_notable


def test_empty_validation_part_has_no_leak_of_pairs(tmp_path, span):
    found = find_pair_leakage(span("a", "b"), Span(cache_text(tmp_path, "ab"), np.empty((0, 2), np.int64)), "tag")

    assert (found.pairs, found.share, found.is_notable) == (0, 0, False)
