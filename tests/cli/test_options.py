"""The options that commands share."""

from __future__ import annotations

from seqgen.cli.options import given


def test_given_are_those_that_are_not_none():
    assert given(zero=0, no=False, empty="", none=None) == {"zero": 0, "no": False, "empty": ""}
