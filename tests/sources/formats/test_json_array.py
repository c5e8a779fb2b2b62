from __future__ import annotations

import json

import pytest

from seqgen.errors import TextError
from seqgen.sources.formats import json_array


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize(
    ("value", "field"),
    [
        ([{"text": "a"}, {"text": "b"}], None),
        (["a", "b"], None),
        ([{"x": {"y": "a"}}, {"x": {"y": "b"}}], "x.y"),
        ({"data": [{"text": "a"}, {"text": "b"}]}, "data[].text"),
        ({"data": {"rows": ["a", "b"]}}, "data.rows[]"),
    ],
)
def test_each_element_of_the_array_is_a_document(read, indent, value, field):
    assert read("a.json", json.dumps(value, indent=indent), **({"field": field} if field else {})) == ("a", "b")


def test_an_object_without_an_array_is_one_document(read):
    assert read("a.json", json.dumps({"body": "all"}, indent=1), field="body") == ("all",)


def test_json_lines_with_this_suffix_are_read_as_lines(places):
    found = places("a.json", '{"text": "a"}\n{"text": "b"}\n').found

    assert found == [("the document on line 1 of a.json", "a"), ("the document on line 2 of a.json", "b")]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\n" * (1 << 20)])
def test_json_lines_with_this_suffix_may_be_longer_than_a_chunk(read, end):
    long = "x" * 3_000_000

    assert read("a.json", f'\n{{"text": "{long}"}}{end}{{"text": "b"}}{end}') == (long, "b")
    assert read("a.json", f'{{"text": "{long}"}}{end}') == (long,)


def test_an_element_without_the_field_is_refused_or_skipped(read, places):
    content = json.dumps([{"text": "a"}, {"text": None}, {"text": "c"}])

    with pytest.raises(TextError, match=r"a\.json, element 2: the field 'text' is null"):
        read("a.json", content)
    found = places("a.json", content, on_bad_line="skip")
    assert found.found == [("element 1 of a.json", "a"), ("element 3 of a.json", "c")]
    assert found.issues.skipped == 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("[1,\n2", r"line 2, column 2 is not valid JSON"),
        ("", "line 1, column 1 is not valid JSON"),
        ("3", "is a number, not an array"),
        ('{"data": [{"text": "a"}]}', r"is an object with arrays \(data\[\]\).* --field"),
        ("[" * 100_000, "is not valid JSON"),
    ],
)
def test_a_file_without_an_array_is_refused(read, content, reason):
    with pytest.raises(TextError, match=rf"a\.json.*{reason}"):
        read("a.json", content)


def test_a_field_with_a_wrong_path_is_refused(read):
    with pytest.raises(TextError, match=r"no 'rows' on the path 'rows\[\]\.text'; it has: data"):
        read("a.json", '{"data": []}', field="rows[].text")


def test_a_long_file_is_refused_with_the_command_that_converts_it(read, monkeypatch):
    monkeypatch.setattr(json_array, "MAX_CHARACTERS", 1 << 20)

    with pytest.raises(TextError, match=r"more than 1 MB.*jq -c '\.\[\]'"):
        read("a.json", json.dumps(["x" * (1 << 20)]))
    assert read("a.json", '{"text": "a"}\n' * 80_000) == ("a",) * 80_000
