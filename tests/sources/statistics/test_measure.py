"""Statistics are exact, do not depend on how a document is cut, and take bounded memory."""

from __future__ import annotations

import json
import math
import tracemalloc
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqgen.sources.statistics import measure as module
from seqgen.sources.statistics.measure import Duplicates, Repeated, measure, script_of, text_hash
from seqgen.sources.statistics.quality import Place

DOCUMENTS = st.lists(st.lists(st.text(max_size=8), max_size=4), max_size=4)


def measured(*texts, **options):
    return measure(((f"{number}.txt", [text]) for number, text in enumerate(texts, 1)), **options)


@given(DOCUMENTS)
def test_measure_counts_the_sizes_of_the_text(documents):
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


def test_measure_counts_a_byte_for_each_character_of_a_raw_text():
    text = "\xff\x00\r\n"

    assert (measured(text).bytes, measured(text, raw=True).bytes) == (5, 4)
    assert measured(text).findings
    assert measured(text, raw=True).findings == ()


@given(st.text(st.sampled_from("ab \n한"), max_size=60), st.lists(st.integers(0, 60), max_size=5))
def test_measure_does_not_depend_on_the_chunks(text, cuts):
    edges = [0, *sorted(cuts), len(text)]
    chunks = [text[start:end] for start, end in pairwise(edges)]

    assert measure([("1.txt", [*chunks, text[max(edges) :]])]) == measure([("1.txt", ["".join(chunks)])])


@pytest.mark.parametrize(
    ("text", "lines"), [("", 0), ("a", 1), ("a\n", 1), ("a\nb", 2), ("a\r\nb\rc\n\n", 4), ("\n", 1)]
)
def test_lines_end_at_any_line_end_or_at_the_end(text, lines):
    assert measured(text).lines == lines
    assert measured(text, "x").lines == lines + 1


def test_measure_returns_entropies_and_frequent_ngrams():
    found = measured("abab", "ba ba ba", top=2)

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


def test_measure_tells_words_apart_by_their_first_64_characters():
    same, different = (measured(f"{'a' * length}b {'a' * length}c") for length in (64, 63))

    assert same.word_ngrams[0].top == (("a" * 64, 2),)
    assert different.word_ngrams[0].top == (("a" * 63 + "b", 1), ("a" * 63 + "c", 1))


def test_scripts_are_sorted_by_size():
    found = measured("한국어 한국 abc 漢")

    assert [(script.name, script.distinct, script.characters) for script in found.scripts] == [
        ("Hangul", 3, 5), ("Latin", 3, 3), ("white space", 1, 3), ("Han", 1, 1)
    ]  # fmt: skip


def test_measure_finds_repeated_documents_and_lines():
    found = measured("The same.\nOther.\n\n\n", "Another one.\nThe same.\n", "The same.\nOther.\n\n\n")

    assert found.repeated_documents == Repeated(copies=1, share=19 / 61, sampled=1)
    assert found.repeated_lines == Repeated(copies=3, share=24 / 51, sampled=1)
    places = {finding.kind: finding.place for finding in found.findings}
    assert places["duplicate_documents"] == Place("3.txt", 1)
    assert places["duplicate_lines"] == Place("2.txt", 2)


def test_an_empty_document_is_a_finding():
    found = measured("", "text", "")

    first = found.findings[0]
    assert (first.kind, first.count, first.place) == ("empty_documents", 2, Place("1.txt", 1))
    assert "empty_documents" not in {finding.kind for finding in measured("text").findings}


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_repeated_lines_do_not_depend_on_the_line_end(newline):
    lines = [f"line number {number}" for number in range(9)]

    found = measured(newline.join(lines * 2) + newline)

    assert (found.lines, found.repeated_lines.copies, found.repeated_lines.share) == (18, 9, 0.5)


def test_a_full_word_table_reports_how_much_it_counted(monkeypatch):
    monkeypatch.setattr(module, "MAX_WORDS", 3)

    found = measure([("a", ["a b c d\n", "e f g h\n"]), ("b", ["i j"])])

    assert found.words == 10
    assert [(frequent.counted, frequent.distinct) for frequent in found.word_ngrams] == [(8, 8), (8, 7), (8, 6)]


def test_as_record_is_json_with_the_names_of_the_fields():
    record = json.loads(json.dumps(measured("a\r\nb\n").as_record()))

    assert record.keys() == {
        "documents", "bytes", "characters", "lines", "words", "longest_line", "distinct_characters", "seen_once",
        "newlines", "scripts", "entropies", "character_ngrams", "word_ngrams", "repeated_documents", "repeated_lines",
        "findings",
    }  # fmt: skip
    assert record["newlines"] == {"lf": 1, "crlf": 1, "cr": 0}
    assert record["findings"][0]["place"] == {"document": "1.txt", "line": 2}


@pytest.mark.slow
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


def collect(texts, **options):
    duplicates = Duplicates(**options)
    known = [duplicates.add(text_hash(text).digest(), len(text)) for text in texts]
    return duplicates, known


@given(st.lists(st.text(max_size=3), max_size=40))
def test_duplicates_are_exact_while_every_hash_is_kept(texts):
    duplicates, known = collect(texts)

    assert known == [text in texts[:index] for index, text in enumerate(texts)]
    result = duplicates.result()
    assert result.copies == len(texts) - len(Counter(texts))
    repeated = sum(len(text) for text, again in zip(texts, known, strict=True) if again)
    assert result.share == pytest.approx(repeated / max(1, sum(map(len, texts))))
    assert result.sampled == 1


def test_duplicates_are_estimated_from_a_sample():
    texts = [f"line {number % 6000:5}" for number in range(9000)]

    duplicates, _ = collect(texts, limit=1000)

    result = duplicates.result()
    assert result.sampled >= 6
    assert result.copies == pytest.approx(3000, rel=0.15)
    assert result.share == pytest.approx(1 / 3, rel=0.1)


def test_text_hash_may_be_updated_in_parts():
    pieces = text_hash("한국")
    pieces.update("어\ud800".encode("utf-8", "surrogatepass"))

    assert pieces.digest() == text_hash("한국어\ud800").digest()


@pytest.mark.parametrize(
    ("characters", "script"),
    [
        ("aZéßＡﬁ", "Latin"),
        ("λΩ", "Greek"),
        ("жЁ", "Cyrillic"),
        ("가힣ㄱㅏ\u1100\u1161\u11a8ﾡ", "Hangul"),
        ("漢字\U00020000々", "Han"),
        ("あアーｱ", "Kana"),
        ("अि", "Devanagari"),
        ("ع", "Arabic"),
        ("ꦄ", "other letters"),
        ("0٣½", "digits"),
        (".,、«", "punctuation"),
        ("+€😀", "symbols"),
        (" \t\n\u3000\u2028", "white space"),
        ("\u0301", "combining marks"),
        ("\0\x1b\u200b\ufeff\ue000\uffff\ud800", "control and unassigned"),
    ],
)
def test_script_of(characters, script):
    assert {script_of(character) for character in characters} == {script}


@given(st.characters())
def test_every_character_has_a_script_or_class(character):
    assert script_of(character)
