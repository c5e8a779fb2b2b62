from __future__ import annotations

import json

import pytest

from seqgen.errors import TextError
from seqgen.sources.source import load_documents

GOOD = '{"text": "a"}\n'


@pytest.mark.parametrize("line", ["{bad", '{"text": null}', '{"other": 1}', "[]", "1" * 5000])
def test_a_bad_line_is_refused_or_skipped(read, places, line):
    with pytest.raises(TextError, match=r"a\.jsonl, line 2.*--on-bad-line skip"):
        read("a.jsonl", GOOD + line + "\n" + GOOD)

    found = places("a.jsonl", GOOD + line + "\n" + GOOD, on_bad_line="skip")
    assert [text for _, text in found.found] == ["a", "a"]
    assert found.issues.skipped == 1


def test_the_error_of_a_malformed_line_has_its_line_and_column(read):
    with pytest.raises(TextError) as refusal:
        read("a.jsonl", GOOD + '{"text" 1}\n')

    assert "line 2, column 9 is not valid JSON" in str(refusal.value)
    assert "line 1" not in str(refusal.value)


@pytest.mark.parametrize(("record", "are_pairs"), [({"source": "a", "target": "b"}, True), ({"source": "a"}, False)])
def test_records_of_a_source_and_a_target_may_be_pairs(read, record, are_pairs):
    with pytest.raises(TextError, match="no field 'text'") as refusal:
        read("a.jsonl", json.dumps(record) + "\n")

    assert ("--task translate" in str(refusal.value)) is are_pairs


def test_a_conversation_is_one_document(read):
    lines = [{"messages": [{"content": "hi"}, {"content": f"no {number}"}]} for number in range(2)]

    found = read("a.ndjson", "\r\n".join(map(json.dumps, lines)), field="messages[].content")

    assert found == ("hi\nno 0", "hi\nno 1")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_at_lf_crlf_and_cr_only(places, end):
    found = places("a.jsonl", end.join(['{"text": "a\u2028b"}', "", '{"text": "c"}', ""]))

    assert found.found == [
        ("the document on line 1 of a.jsonl", "a\u2028b"), ("the document on line 3 of a.jsonl", "c"),
    ]  # fmt: skip


def test_a_file_whose_lines_are_all_skipped_is_empty(read):
    with pytest.raises(TextError, match="is empty"):
        read("a.jsonl", "{}\n", on_bad_line="skip")


def test_a_long_number_in_another_field_is_accepted(tmp_path):
    path = tmp_path / "numbers.jsonl"
    path.write_text(f'{{"a": {"9" * 10_000}, "text": "kept"}}\n', "utf-8")

    assert load_documents([str(path)]) == ("kept",)
