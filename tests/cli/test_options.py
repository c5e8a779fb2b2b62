"""The options that commands share."""

from __future__ import annotations

from seqgen.cli.options import drop_none


def test_given_are_those_that_are_not_none():
    assert drop_none(zero=0, no=False, empty="", none=None) == {"zero": 0, "no": False, "empty": ""}
