"""LF, CRLF and CR end a line, and nothing else does."""

from __future__ import annotations

import io
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqgen.sources.lines import (
    last_line_start,
    lines_by_chunk,
    lines_with_ends,
    next_line_start,
    split_lines,
    with_lf,
)

TEXTS = st.text(st.sampled_from("ab\r\n\x0b\x0c\x1c\x85\u2028"), max_size=12)


@given(TEXTS)
def test_split_lines_cuts_at_lf_crlf_and_cr_only(text):
    assert split_lines(text) == re.split(r"\r\n|\r|\n", text)
    assert with_lf(text) == "\n".join(split_lines(text))


@given(TEXTS, st.lists(st.integers(0, 12), max_size=5))
def test_lines_with_ends_does_not_depend_on_the_chunks(text, cuts):
    edges = [0, *sorted(cuts), len(text)]
    chunks = [text[start:stop] for start, stop in pairwise(edges)]

    assert list(lines_with_ends(chunks)) == list(io.StringIO(text, newline=""))


def test_lines_by_chunk_yields_what_a_chunk_completes_before_it_reads_the_next():
    def chunks():
        for number, chunk in enumerate(["a\nb\nc", "d", "e\r", "\nf"], 1):
            read.append(number)
            yield chunk

    read = []
    found = [(list(lines), len(read)) for lines in lines_by_chunk(chunks())]

    assert found == [(["a\n", "b\n"], 1), (["cde\r\n"], 4), (["f"], 4)]


@given(TEXTS, TEXTS)
def test_last_line_start_is_valid_whatever_text_follows(text, more):
    place = last_line_start(text)

    assert split_lines(text + more) == split_lines(text[:place])[:-1] + split_lines(text[place:] + more)
    assert not re.search(r"\r|\n", text[place:].removesuffix("\r"))


@pytest.mark.parametrize(
    ("text", "position", "start"),
    [
        ("a\nb", 0, 2),
        ("a\r\nb", 0, 3),
        ("a\rb", 0, 2),
        ("a\rb\rc", 2, 4),
        ("a\x0cb\u2028c\x85", 0, None),
        ("", 0, None),
    ],
)
def test_next_line_start_is_after_a_line_end(text, position, start):
    assert next_line_start(text, position) == start
