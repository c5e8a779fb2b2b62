"""Statistics of streams: exact where they say so, the same however a document is cut, bounded in memory."""

from __future__ import annotations

import json
import math
import tracemalloc
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqgen.sources.statistics import measure as statistics
from seqgen.sources.statistics.blocks import Place
from seqgen.sources.statistics.measure import Repeated, measure

DOCUMENTS = st.lists(st.lists(st.text(max_size=8), max_size=4), max_size=4)


def of(*texts, **options):
    return measure(((f"{number}.txt", [text]) for number, text in enumerate(texts, 1)), **options)


@given(DOCUMENTS)
def test_sizes_are_those_of_the_text(documents):
    texts = ["".join(chunks) for chunks in documents]
    whole = "".join(texts)

    found = measure((str(number), chunks) for number, chunks in enumerate(documents))

    assert found.documents == len(texts)
    assert found.characters == len(whole)
    assert found.bytes == len(whole.encode("utf-8", "surrogatepass"))
    assert found.words == sum(len(text.split()) for text in texts)
    assert found.distinct_characters == len(set(whole))
    assert found.seen_once == sum(count == 1 for count in Counter(whole).values())
    assert sum(script.characters for script in found.scripts) == len(whole)
    assert sum(script.distinct for script in found.scripts) == len(set(whole))
    assert found.repeated_documents.copies == len(texts) - len(set(texts))


@given(st.text(st.sampled_from("ab \n한"), max_size=60), st.lists(st.integers(0, 60), max_size=5))
def test_how_a_document_comes_changes_nothing(text, cuts):
    edges = [0, *sorted(cuts), len(text)]
    chunks = [text[start:end] for start, end in pairwise(edges)]

    assert measure([("1.txt", [*chunks, text[max(edges) :]])]) == measure([("1.txt", ["".join(chunks)])])


@pytest.mark.parametrize(
    ("text", "lines"), [("", 0), ("a", 1), ("a\n", 1), ("a\nb", 2), ("a\r\nb\rc\n\n", 4), ("\n", 1)]
)
def test_lines_end_with_any_newline_or_with_the_text(text, lines):
    assert of(text).lines == lines
    assert of(text, "x").lines == lines + 1


def test_entropies_and_frequent_ones():
    found = of("abab", "ba ba ba", top=2)

    assert [entropy.order for entropy in found.entropies] == [0, 1, 2]
    assert found.entropies[0].bits == pytest.approx(
        -2 * 5 / 12 * math.log2(5 / 12) - 2 / 12 * math.log2(2 / 12), abs=1e-12
    )
    singles, pairs, _ = found.character_ngrams
    assert singles.top == (("a", 5), ("b", 5))
    assert pairs.top == (("ba", 4), (" b", 2))
    words, two, three = found.word_ngrams
    assert words.top == (("ba", 3), ("abab", 1))
    assert (two.top, three.top) == ((("ba ba", 2),), (("ba ba ba", 1),))


def test_scripts_come_by_their_size():
    found = of("한국어 한국 abc 漢")

    assert [(script.name, script.distinct, script.characters) for script in found.scripts] == [
        ("Hangul", 3, 5), ("Latin", 3, 3), ("white space", 1, 3), ("Han", 1, 1)
    ]  # fmt: skip


def test_what_is_said_twice():
    found = of("The same.\nOther.\n\n\n", "Another one.\nThe same.\n", "The same.\nOther.\n\n\n")

    assert found.repeated_documents == Repeated(copies=1, share=19 / 61, sampled=1)
    assert found.repeated_lines == Repeated(copies=3, share=24 / 51, sampled=1)
    places = {finding.kind: finding.place for finding in found.findings}
    assert places["duplicate_documents"] == Place("3.txt", 1)
    assert places["duplicate_lines"] == Place("2.txt", 2)


def test_an_empty_document_is_a_finding():
    found = of("", "text", "")

    first = found.findings[0]
    assert (first.kind, first.count, first.place) == ("empty_documents", 2, Place("1.txt", 1))
    assert "empty_documents" not in {finding.kind for finding in of("text").findings}


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_lines_that_are_there_twice_are_found_whatever_ends_them(newline):
    lines = [f"line number {number}" for number in range(9)]

    found = of(newline.join(lines * 2) + newline)

    assert (found.lines, found.repeated_lines.copies, found.repeated_lines.share) == (18, 9, 0.5)


def test_a_table_that_is_full_says_how_much_it_has_seen(monkeypatch):
    monkeypatch.setattr(statistics, "WORD_LIMIT", 3)

    found = measure([("a", ["a b c d\n", "e f g h\n"]), ("b", ["i j"])])

    assert found.words == 10
    assert [(frequent.counted, frequent.distinct) for frequent in found.word_ngrams] == [(8, 8), (8, 7), (8, 6)]


def test_the_record_is_json_with_the_names_of_the_fields():
    record = json.loads(json.dumps(of("a\r\nb\n").as_record()))

    assert record.keys() == {
        "documents", "bytes", "characters", "lines", "words", "longest_line", "distinct_characters", "seen_once",
        "newlines", "scripts", "entropies", "character_ngrams", "word_ngrams", "repeated_documents", "repeated_lines",
        "findings",
    }  # fmt: skip
    assert record["newlines"] == {"lf": 1, "crlf": 1, "cr": 0}
    assert record["findings"][0]["place"] == {"document": "1.txt", "line": 2}


def test_memory_does_not_grow_with_the_text():
    line = "It was the best of times, it was the worst of times, it was the age of wisdom\n" * 1000

    def peak(chunks):
        tracemalloc.start()
        try:
            measure([("a", (line for _ in range(chunks)))])
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(60) < 1.1 * peak(30)
