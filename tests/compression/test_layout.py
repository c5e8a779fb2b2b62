"""Documents are cut as a run cuts them, and joined again exactly."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from seqgen.compression.layout import LAYOUTS, Layout

TEXTS = st.text(alphabet="ab \r\n", max_size=30)


@given(TEXTS, st.sampled_from(["file", "line", "paragraph"]))
@example("\ufeffa\r\n\r\nb", "paragraph")
@example("a\rb\n\n\n\n", "line")
def test_documents_joined_are_the_text(text, unit):
    layout = Layout.of(text, unit)

    assert layout.join(layout.split(text)) == text
    assert Layout.from_byte(layout.to_byte()) == layout
    assert layout.to_byte() < LAYOUTS


@pytest.mark.parametrize(
    ("text", "unit", "documents"),
    [
        ("a\nb\n", "line", ["a", "b"]),
        ("a\r\nb", "line", ["a", "b"]),
        ("a\rb\r", "line", ["a", "b"]),
        ("a\n\nb\n", "line", ["a", "", "b"]),
        ("a\nb\n\nc\nd\n", "paragraph", ["a\nb", "c\nd"]),
        ("a\n\nb\n\n", "paragraph", ["a", "b"]),
        ("a\n\n\nb", "paragraph", ["a", "\nb"]),
        ("a\n\nb\n", "file", ["a\n\nb\n"]),
        ("", "line", [""]),
        ("", "file", [""]),
    ],
)
def test_documents_are_those_of_the_unit(text, unit, documents):
    assert Layout.of(text, unit).split(text) == documents
