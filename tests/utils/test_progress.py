from __future__ import annotations

from seqgen.utils.progress import Progress, silent


def test_what_is_done_is_added_up_and_told_from_the_beginning():
    told = []
    progress = Progress(lambda *given: told.append(given), "reading", 10)

    for done in (3, 0, 7):
        progress.add(done)

    assert told == [("reading", 0, 10), ("reading", 3, 10), ("reading", 3, 10), ("reading", 10, 10)]


def test_nobody_need_listen(capsys):
    Progress(silent, "reading", 10).add(3)
    silent("building the vocabulary")

    assert capsys.readouterr() == ("", "")
