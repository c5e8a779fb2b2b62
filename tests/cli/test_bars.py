"""The notice of the time that long work takes."""

from __future__ import annotations

import pytest
from seqgen.cli.bars import announce_time


@pytest.mark.parametrize("quiet", [False, True])
def test_announce_time_notes_the_tokens_once_after_the_second_part(capsys, quiet):
    shown: list[tuple[int, int]] = []
    show = announce_time("reading", lambda *one: shown.append(one), quiet=quiet)

    show(256, 1024)
    assert capsys.readouterr().err == ""
    show(512, 1024)
    assert ("1,024 tokens" in capsys.readouterr().err) is not quiet
    show(768, 1024)
    show(1024, 1024)

    assert capsys.readouterr().err == ""
    assert shown == [(256, 1024), (512, 1024), (768, 1024), (1024, 1024)]
