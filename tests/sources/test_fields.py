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
def test_a_path_leads_to_its_text(field, text):
    assert text_at(RECORD, parse_field(field), field, "here") == text


def test_a_path_is_names_and_elements():
    assert parse_field("a.b[].c[3]") == ("a", "b", ALL, "c", 3)


@pytest.mark.parametrize("field", ["a..b", ".a", "a[x]", "a]", "a[", "a."])
def test_what_is_no_path_is_refused(field):
    with pytest.raises(ConfigError, match=r"^field: "):
        parse_field(field)


@pytest.mark.parametrize(
    ("field", "reason"),
    [
        ("body", "no field 'body'; .* it has: text, user.name, user"),
        ("user.age", "no field 'user.age'; .* it has: name"),
        ("text.a", "is a string, not an object"),
        ("user[]", "is an object, not an array"),
        ("messages[2].content", "is an array of 2"),
        ("messages[]", "is an object, not a string"),
        ("messages[].text", "it has: role, content"),
    ],
)
def test_what_a_record_lacks_is_named(field, reason):
    with pytest.raises(TextError, match=rf"here.*{reason}"):
        text_at(RECORD, parse_field(field), field, "here")
