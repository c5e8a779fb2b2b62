"""Pairs of a source and a target, in every format."""

from __future__ import annotations

import gzip
import io
import json
import sys
from types import SimpleNamespace

import pytest

from seqgen.errors import ConfigError, TextError
from seqgen.sources.config import Reading
from seqgen.sources.names import are_parallel
from seqgen.sources.source import Source, load_documents

TRANSLATE = {"task": "translate"}
NSMC = "id\tdocument\tlabel\n9976970\t아 더빙.. 진짜 짜증나네요\t0\n3819312\t\t1\n10265843\t재밌다\t1\n"


@pytest.fixture
def issues(write):
    """Read a file, skipping bad lines; its documents and what was passed over."""

    def issues(name: str, content: bytes | str, **reading: object) -> SimpleNamespace:
        source = Source(write(name, content), Reading.of(on_bad_line="skip", **{**TRANSLATE, **reading}))
        found = ["".join(document) for document in source.documents()]
        return SimpleNamespace(found=found, skipped=source.issues.skipped, empty=source.issues.empty,
                               first=source.issues.first_skipped)  # fmt: skip

    return issues


# --- a table


@pytest.mark.parametrize("name", ["pairs.tsv", "pairs.txt", "pairs", "PAIRS.TSV"])
def test_line_is_a_source_a_tab_and_a_target(read, name):
    assert read(name, "one\teins\ntwo words\tzwei Worte\n", **TRANSLATE) == ("one", "eins", "two words", "zwei Worte")


@pytest.mark.parametrize("content", ["a\tb\r\nc\td\r\n", "a\tb\rc\td", "\ufeffa\tb\nc\td"])
def test_line_ends_and_a_byte_order_mark_belong_to_neither_side(read, content):
    assert read("pairs.tsv", content, **TRANSLATE) == ("a", "b", "c", "d")


def test_quotes_are_kept_and_white_space_around_a_side_is_not(read):
    assert read("pairs.tsv", ' "a  b" \t b"\n', **TRANSLATE) == ('"a  b"', 'b"')


def test_other_line_separators_do_not_end_a_pair(read):
    text = "a\x0b\x0c\x1c\x85\u2028b\tc\n"

    assert read("pairs.tsv", text, **TRANSLATE) == ("a\x0b\x0c\x1c\x85\u2028b", "c")


def test_label_of_a_record_is_stripped_and_a_document_is_not(read):
    record = {"source": " good ", "target": " pos "}

    assert read("pairs.jsonl", json.dumps(record), task="classify") == (" good ", "pos")


def test_compressed_pairs_are_read(read):
    assert read("pairs.tsv.gz", gzip.compress(b"a\tb\n"), **TRANSLATE) == ("a", "b")


def test_stdin_is_read_as_a_table(monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"a\tb\nc\td\n")))

    assert load_documents(["-"], Reading.of(**TRANSLATE)) == ("a", "b", "c", "d")


def test_stdin_with_a_field_is_read_as_json_lines(monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b'{"en": "a", "target": "b"}\n')))

    assert load_documents(["-"], Reading.of(source_field="en", **TRANSLATE)) == ("a", "b")


def test_corpus_of_the_catalog_gives_pairs():
    found = load_documents(["corpus:dates-iso:test"], Reading.of(**TRANSLATE))

    assert len(found) > 100
    assert len(found) % 2 == 0
    assert all(target[4] == target[7] == "-" and len(target) == 10 for target in found[1::2])


@pytest.mark.parametrize(
    ("line", "named"),
    [("no tab", "0 tabs"), ("a\tb\tc", "2 tabs"), ("\tb", "source is empty"), ("a\t", "target is empty"),
     (" \tb", "source is empty"), ("a\t \t", "2 tabs")],
)  # fmt: skip
def test_bad_line_is_refused_with_its_number(read, line, named):
    with pytest.raises(TextError, match=rf"pairs\.tsv, line 2\b.*{named}.*--on-bad-line skip"):
        read("pairs.tsv", f"a\tb\n{line}\nc\td\n", **TRANSLATE)


@pytest.mark.parametrize(("task", "side"), [("classify", "label"), ("tag", "tags")])
def test_empty_side_is_named_by_its_task(read, task, side):
    with pytest.raises(TextError, match=rf"line 2: .*{side} is empty"):
        read("pairs.tsv", "a\tb\nc\t\n", task=task)


def test_bad_lines_are_skipped_and_counted(issues):
    found = issues("pairs.tsv", "a\tb\nno tab\n\tb\nc\t\n\n\nd\te\n")

    assert found.found == ["a", "b", "d", "e"]
    assert (found.skipped, found.empty) == (3, 2)
    assert "line 2" in found.first


@pytest.mark.parametrize(
    ("name", "line", "words"),
    [("pairs.csv", "one,eins", ("CSV", "'one,eins'", "2 lines", "tab")),
     ("pairs.txt", f"Call me Ishmael. {'Some years ago ' * 9}", ("'Call me Ishmael.", "two parallel files")),
     ("pairs", f'{{"source": "{"a" * 60}", "target": "b"}}', ("JSON", ".jsonl"))],
)  # fmt: skip
def test_file_without_any_tab_is_refused_by_what_it_looks_like(read, name, line, words):
    with pytest.raises(TextError) as refusal:
        read(name, f"{line}\n" * 2, **TRANSLATE)

    assert all(word in str(refusal.value) for word in words)
    assert "line 1" not in str(refusal.value)


@pytest.mark.parametrize(
    ("task", "words"),
    [("translate", "the pair on line 1"), ("classify", "the text on line 1"), ("tag", "the sentence on line 1")],
)
def test_places_name_what_the_task_learns_from(places, task, words):
    assert words in places("pairs.tsv", "a\tb\n", task=task).found[0][0]


def test_places_name_the_line_of_a_pair(places):
    found = places("pairs.tsv", "a\tb\n\nc\td\n", **TRANSLATE).found

    assert found[2:] == [("the pair on line 3 of pairs.tsv", text) for text in ("c", "d")]


def test_file_without_pairs_is_refused(read):
    with pytest.raises(TextError, match=r"pairs\.tsv is empty"):
        read("pairs.tsv", "\n\n", **TRANSLATE)


def test_invalid_bytes_are_refused_or_counted(write, read):
    with pytest.raises(TextError, match="utf-8"):
        read("pairs.tsv", b"a\tb\n\xff\tc\n", **TRANSLATE)
    assert read("pairs.tsv", b"a\tb\n\xff\tc\n", errors="replace", **TRANSLATE)[2] == "\ufffd"


# --- the table of NSMC


def test_nsmc_gives_documents_and_labels_and_counts_empty_documents(issues):
    found = issues("ratings.txt", NSMC, task="classify")

    assert found.found == ["아 더빙.. 진짜 짜증나네요", "0", "재밌다", "1"]
    assert (found.skipped, found.empty) == (0, 1)


def test_nsmc_header_counts_only_in_the_first_line(read):
    with pytest.raises(TextError, match="line 2 has 2 tabs"):
        read("ratings.txt", "a\tb\n" + NSMC, task="classify")


def test_nsmc_line_of_two_columns_is_a_pair(read):
    assert read("ratings.txt", "id\tdocument\tlabel\na\tb\n", task="classify") == ("a", "b")


def test_nsmc_with_a_byte_order_mark_and_crlf_is_recognized(read):
    assert len(read("ratings.txt", ("\ufeff" + NSMC).replace("\n", "\r\n"), task="classify")) == 4


# --- JSON lines


@pytest.mark.parametrize("name", ["pairs.jsonl", "pairs.ndjson", "pairs.JSONL"])
def test_json_lines_have_a_source_and_a_target(read, name):
    content = '{"source": "a\\tb\\n", "target": "c"}\n\n{"target": "e", "other": 1, "source": "d"}\n'

    assert read(name, content, **TRANSLATE) == ("a\tb\n", "c", "d", "e")


def test_fields_of_json_lines_are_named(read):
    content = '{"translation": {"en": "a", "de": "b"}}\n'

    found = read("p.jsonl", content, source_field="translation.en", target_field="translation.de", **TRANSLATE)

    assert found == ("a", "b")


@pytest.mark.parametrize(
    ("label", "text"), [("1", "1"), ("true", "true"), ("false", "false"), ("0.5", "0.5"), ('" x "', "x"),
                        ("12345678", "12345678"), ("-3", "-3")]
)  # fmt: skip
def test_label_of_json_may_be_a_number_or_a_truth_value(read, label, text):
    content = f'{{"source": "a", "label": {label}}}\n'

    assert read("p.jsonl", content, task="classify", target_field="label") == ("a", text)


@pytest.mark.parametrize("label", ["1", "true"])
def test_label_in_a_nested_field_may_be_a_number(read, label):
    content = f'{{"source": "a", "meta": {{"label": {label}}}}}\n'

    assert read("p.jsonl", content, task="classify", target_field="meta.label") == ("a", label)


@pytest.mark.parametrize(
    "line",
    ['{"source": "a"}', '{"source": null, "target": "b"}', '{"source": ["a"], "target": "b"}', '["a", "b"]', "nothing",
     '{"source": "", "target": "b"}', '{"source": "a", "target": "\\n"}', '{"source": "a", "target": {}}',
     '{"source": "a", "target": "b"', "1", "[" * 5000],
)  # fmt: skip
def test_bad_json_line_is_refused_with_its_number_or_skipped(read, issues, line):
    content = f'{{"source": "a", "target": "b"}}\n{line}\n'

    with pytest.raises(TextError, match=r"pairs\.jsonl, line 2\b"):
        read("pairs.jsonl", content, **TRANSLATE)
    found = issues("pairs.jsonl", content)
    assert (found.found, found.skipped) == (["a", "b"], 1)


# --- columns


CONLL = "-DOCSTART- -X- -X- O\n\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\n\nPeter NNP B-NP B-PER\n"


@pytest.mark.parametrize("name", ["a.conll", "a.iob", "a.bio", "a.CoNLL"])
def test_columns_give_sentences_of_words_and_tags(read, name):
    assert read(name, CONLL, task="tag") == ("EU rejects", "B-ORG O", "Peter", "B-PER")


def test_columns_may_be_separated_by_tabs_and_end_by_crlf(read):
    assert read("a.conll", "a\tX\r\nb\tY\r\n\r\nc\tX", task="tag") == ("a b", "X Y", "c", "X")


def test_blank_line_may_have_spaces(read):
    assert read("a.conll", "a X\n \t\nb Y\n", task="tag") == ("a", "X", "b", "Y")


def test_places_of_sentences_name_their_first_line(places):
    found = places("a.conll", CONLL, task="tag").found

    assert [place for place, _ in found[::2]] == [f"the sentence on line {line} of a.conll" for line in (3, 7)]


def test_word_without_a_tag_is_refused_or_its_sentence_is_skipped(read, issues):
    content = "a X\nb\nc Y\n\nd X\n"

    with pytest.raises(TextError, match=r"a\.conll, line 2\b.*no tag"):
        read("a.conll", content, task="tag")
    found = issues("a.conll", content, task="tag")
    assert (found.found, found.skipped) == (["d", "X"], 1)


def test_each_word_needs_a_tag(read, issues):
    with pytest.raises(TextError, match=r"pairs\.tsv, line 1: 2 words and 1 tag"):
        read("pairs.tsv", "a b\tX\n", task="tag")
    assert issues("pairs.tsv", "a b\tX\na\tX\n", task="tag").skipped == 1


def test_words_and_tags_are_joined_by_one_space(read):
    assert read("pairs.tsv", " a  b\u00a0c \tX  Y Z\n", task="tag") == ("a b c", "X Y Z")


# --- two parallel files


@pytest.fixture
def parallel(write):
    """Write two files of lines, and read them as pairs."""

    def parallel(first: bytes | str, second: bytes | str, names=("a.en", "a.de"), **reading: object):
        files = [write(name, content) for name, content in zip(names, (first, second), strict=True)]
        return load_documents(files, Reading.of(**TRANSLATE, **reading))

    return parallel


def test_lines_of_parallel_files_are_pairs(parallel):
    assert parallel("one\ntwo\tx\n", "eins\r\nzwei") == ("one", "eins", "two\tx", "zwei")


def test_parallel_files_may_be_compressed(parallel):
    assert parallel(gzip.compress(b"a\nb\n"), "c\nd\n", names=("a.en.gz", "a.de")) == ("a", "c", "b", "d")


@pytest.mark.parametrize(("first", "second"), [("a\n", "b\nc\n"), ("a\nd\n", "b\n")])
def test_parallel_files_of_different_lengths_are_refused(parallel, first, second):
    with pytest.raises(TextError, match="ends after 1 line"):
        parallel(first, second)


def test_empty_line_of_one_parallel_file_is_refused_with_its_number_or_skipped(parallel):
    with pytest.raises(TextError, match=r"line 2: the target is empty"):
        parallel("a\nb\nc\n", "d\n\ne\n")
    assert parallel("a\nb\nc\n", "d\n\ne\n", on_bad_line="skip") == ("a", "d", "c", "e")


def test_line_that_is_empty_in_both_parallel_files_is_counted(write):
    from seqgen.sources.source import parallel_documents

    first, second = (Source(write(name, "a\n\nb\n"), Reading.of(**TRANSLATE)) for name in ("a.en", "a.de"))

    found = ["".join(document.chunks) for document in parallel_documents(first, second)]

    assert found == ["a", "a", "b", "b"]
    assert (first.issues.empty, first.issues.skipped) == (1, 0)


@pytest.mark.parametrize(
    ("names", "task", "expected"),
    [(("a.en", "a.de"), "translate", True), (("a.txt.gz", "b.txt"), "translate", True),
     (("a.tsv", "b.tsv"), "translate", False), (("a.en", "b.jsonl"), "translate", False),
     (("a.en",), "translate", False), (("a.en", "-"), "translate", False), (("a", "b", "c"), "translate", False),
     (("a.en", "a.de"), "classify", False), (("a.en", "a.zip"), "translate", False),
     (("a.en", "corpus:dates-iso"), "translate", False)],
)  # fmt: skip
def test_two_plain_files_are_parallel(names, task, expected):
    assert are_parallel(names, Reading.of(task=task)) is expected


def test_two_folders_are_not_parallel(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "pairs.txt").write_text("x\ty\n", "utf-8")

    assert load_documents([str(tmp_path / name) for name in ("a", "b")], Reading.of(**TRANSLATE)) == ("x", "y") * 2


# --- settings


@pytest.mark.parametrize(
    ("settings", "named"),
    [({"task": "translate", "encoding": "bytes"}, "encoding"), ({"task": "tag", "field": "x"}, "field"),
     ({"task": "classify", "documents": "line"}, "documents"), ({"source_field": "x"}, "source_field"),
     ({"target_field": "x"}, "target_field")],
)  # fmt: skip
def test_settings_that_pairs_do_not_have_are_refused(settings, named):
    with pytest.raises(ConfigError, match=named):
        Reading.of(**settings)


@pytest.mark.parametrize("name", ["pairs.tsv", "pairs.txt", "pairs.conll"])
@pytest.mark.parametrize("field", ["source_field", "target_field"])
def test_fields_are_refused_where_no_file_has_any(read, name, field):
    with pytest.raises(ConfigError, match=rf"{field}: .*{name}"):
        read(name, "a\tb\n", **{field: "x"}, **TRANSLATE)


@pytest.mark.parametrize("suffix", [".tsv", ".jsonl", ".conll"])
@pytest.mark.parametrize("content", [b"\x00\x01\x02" * 50, b"\x89PNG\r\n\x1a\n" + bytes(40), b"PK\x03\x04" + bytes(40),
                                     b"\x1f\x8b\x08" + bytes(40), b"\xff\xfea\x00\t\x00b\x00"])  # fmt: skip
def test_file_that_is_not_text_is_refused_by_name(read, suffix, content):
    with pytest.raises(TextError, match=f"pairs{suffix}"):
        read(f"pairs{suffix}", content, **TRANSLATE)
