from __future__ import annotations

import pytest

from seqgen.errors import ConfigError, TextError
from seqgen.sources.fields import ALL, parse_field, text_at

RECORD = {
    "text": "t", "user.name": "dotted", "user": {"name": "nested"},
    "messages": [{"role": "a", "content": "hi"}, {"role": "b", "content": "yo"}], "pairs": [["x", "y"], ["z"]],
}  # fmt: skip


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("text", "t"),
        ("user.name", "dotted"),
        ("messages[].content", "hi\nyo"),
        ("messages[1].content", "yo"),
        ("pairs[][]", "x\ny\nz"),
        ("pairs[0][1]", "y"),
    ],
)
def test_text_at_returns_the_text_of_a_field(field, text):
    assert text_at(RECORD, parse_field(field), field, "here") == text


def test_parse_field_returns_names_and_element_numbers():
    assert parse_field("a.b[].c[3]") == ("a", "b", ALL, "c", 3)


@pytest.mark.parametrize("field", ["a..b", ".a", "a[x]", "a]", "a[", "a."])
def test_parse_field_refuses_an_invalid_path(field):
    with pytest.raises(ConfigError, match=r"^field: "):
        parse_field(field)


@pytest.mark.parametrize(
    ("field", "reason"),
    [
        ("body", "no field 'body'.* has: text, user.name, user"),
        ("user.age", "no field 'user.age'.* has: name"),
        ("text.a", "is a string, not an object"),
        ("user[]", "is an object, not an array"),
        ("messages[2].content", "has only 2 elements"),
        ("messages[]", "is an object, not a string"),
        ("messages[].text", "has: role, content"),
    ],
)
def test_text_at_names_what_is_missing_or_not_a_string(field, reason):
    with pytest.raises(TextError, match=rf"here.*{reason}"):
        text_at(RECORD, parse_field(field), field, "here")
