from __future__ import annotations

from seqgen.utils.progress import Progress, silent


def test_progress_adds_up_and_reports():
    reports = []
    progress = Progress(lambda *given: reports.append(given), "reading", 10)

    for done in (3, 0, 7):
        progress.add(done)

    assert reports == [("reading", 0, 10), ("reading", 3, 10), ("reading", 3, 10), ("reading", 10, 10)]


def test_silent_report_prints_nothing(capsys):
    Progress(silent, "reading", 10).add(3)
    silent("building the vocabulary")

    assert capsys.readouterr() == ("", "")
