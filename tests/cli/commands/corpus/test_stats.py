"""`seqgen corpus stats`: a page that a terminal can show of any text, and one JSON object."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.cells import cell_len
from seqgen.cli.commands.corpus.stats import bar, visible

KOREAN = "한국어 문장이 하나 있다.\n그리고 漢字 하나.\nabc ab a\n" * 3
NASTY = "[/x] [bold]\x1b]52;c;aGk=\x07\r\nplain\n\0caf\xc3\xa9 \ufffde\u0301 \n"


@pytest.fixture
def texts(in_tmp):
    Path("korean.txt").write_text(KOREAN, encoding="utf-8", newline="")
    Path("nasty.txt").write_text(NASTY, encoding="utf-8", newline="")
    return in_tmp


def test_page_in_a_pipe_is_plain_text(answers, texts):
    page = answers("corpus", "stats", "korean.txt", "nasty.txt", "--top", 30)

    assert "\x1b" not in page
    assert all(line.isprintable() for line in page.splitlines())
    for words in ("Hangul", "Han ", "order 2", "most frequent", "mojibake: 1, first in nasty.txt, line 3"):
        assert words in page
    assert "[/x] 1" in page
    assert max(map(cell_len, page.splitlines())) <= 100


@pytest.mark.parametrize("width", [0, 60])
def test_frequent_ngrams_fit_the_page(answers, in_tmp, width):
    words = [letter * 7 for letter in "abcdefghijklmnopqrstuvwxyz"]
    Path("a.txt").write_text(" ".join([*words * 3, *("한" * 64 for _ in range(9))]), encoding="utf-8")

    page = answers("corpus", "stats", "a.txt", "--top", 26, terminal=width)

    block = re.sub(r"\x1b\[[\d;]*m", "", page).split("most frequent n-grams\n")[1].split("\n\n")[0]
    assert max(map(cell_len, block.splitlines())) <= (width or 100)
    assert all(re.search(rf"{word} 3\b", block) for word in words)


def test_finding_in_json_lines_has_line_of_file(answers, in_tmp):
    Path("a.jsonl").write_text('{"text": "plain"}\n\n{"text": "one\\ntwo\\u0000"}\n', encoding="utf-8")

    assert "NUL: 1, first in the document on line 3 of a.jsonl, line 2\n" in answers("corpus", "stats", "a.jsonl")


def test_unexpected_format_is_a_finding(answers, in_tmp):
    Path("old.txt").write_bytes("Köln, Größe, für Müller, Übermut und Äpfel.\r".encode("cp437") * 40)
    Path("empty.txt").write_bytes(b"")

    page = answers("corpus", "stats", "old.txt", "empty.txt", "--encoding", "latin-1")

    assert "wrong encoding: 1, first in old.txt, line 1\n" in page
    assert "--encoding cp437" in page
    assert "CR line ends: 40, first in old.txt, line 1\n" in page
    assert "empty documents: 1, first in empty.txt, line 1\n" in page
    assert "terminal" not in page


def test_bars_are_aligned_after_wide_characters(answers, texts):
    page = answers("corpus", "stats", "korean.txt", "--top", 20)
    block = page.split("most frequent characters\n")[1].split("\n\n")[0].splitlines()

    assert len(block) == 20
    assert any("하" in line for line in block)
    assert len({cell_len(line[: line.index("█")]) for line in block}) == 1


def test_page_fits_terminal_width(answers, texts):
    page = answers("corpus", "stats", "korean.txt", "nasty.txt", terminal=60)

    plain = [line for line in page.replace("\x1b[1m", "").replace("\x1b[2m", "").split("\n") if "\x1b" not in line]
    assert max(map(cell_len, plain)) <= 60
    assert "\x1b[1m" in page
    assert "\x1b]" not in page


def test_no_color_is_respected(answers, texts, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")

    assert "\x1b[33m" not in answers("corpus", "stats", "nasty.txt", terminal=60)


def test_stats_json_is_one_object(answers, texts):
    record = json.loads(answers("corpus", "stats", "--json", "--top", 2, "korean.txt", "nasty.txt"))

    assert record["documents"] == 2
    assert record["characters"] == len(KOREAN) + len(NASTY)
    assert record["bytes"] == len((KOREAN + NASTY).encode())
    assert len(record["character_ngrams"][0]["top"]) == 2
    assert record["word_ngrams"][0]["top"][0] == ["한국어", 3]
    places = {finding["kind"]: finding["place"] for finding in record["findings"]}
    assert places["nul"] == {"document": "nasty.txt", "line": 3}


def test_stats_reads_other_encodings(answers, in_tmp):
    Path("cp949.txt").write_bytes("한국어\n".encode("cp949"))

    assert json.loads(answers("corpus", "stats", "cp949.txt", "--encoding", "cp949", "--json"))["bytes"] == 10


def test_stats_refuses_unreadable_texts(refuses, texts):
    refuses(1, "corpus", "stats", "korean.txt", "none.txt", words=("none.txt",))
    refuses(1, "corpus", "stats", "korean.txt", "--encoding", "ascii", words=("korean.txt", "byte 0"))
    refuses(2, "corpus", "stats", "corpus:none", words=("'none'",))


@pytest.mark.parametrize(("share", "drawn"), [(0.0, ""), (1e-9, "▏"), (0.5, "█" * 12), (1.0, "█" * 24)])
def test_bar_is_drawn_in_eighths(share, drawn):
    assert bar(share) == drawn


@pytest.mark.parametrize(
    ("text", "shown"), [(" a\n", "␣a↵"), ("\t\r", "⇥␍"), ("\x1b[", "\\x1b["), ("\u0301", "◌\u0301")]
)
def test_visible_draws_invisible_characters(text, shown):
    assert visible(text) == shown


@pytest.mark.parametrize(("locale", "encoding"), [("C", "cp949"), ("C.UTF-8", "utf-16")])
def test_stats_do_not_depend_on_locale(tmp_path, encoding, locale):
    """One byte order mark is dropped, newlines stay, and what is written is UTF-8."""
    (tmp_path / "text.txt").write_bytes("한국어\r\n둘째 줄\n".encode(encoding))
    code = "from seqgen.cli.main import main; main()"
    command = [sys.executable, "-c", code, "corpus", "stats", "text.txt", "--json", "--encoding", encoding]
    environment = {**os.environ, "LC_ALL": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}

    result = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True, env=environment)

    found = json.loads(result.stdout.decode("utf-8"))
    assert (found["characters"], found["newlines"]["crlf"], found["newlines"]["lf"]) == (10, 1, 1)
    assert "한" in {gram for gram, _ in found["character_ngrams"][0]["top"]}


def test_pairs_are_counted_as_two_documents_each(answers, in_tmp):
    for name, content in (("a.tsv", "one\teins\ntwo\tzwei\n"), ("a.en", "one\ntwo\n"), ("a.de", "eins\nzwei\n")):
        Path(name).write_text(content, "utf-8")

    table = json.loads(answers("corpus", "stats", "a.tsv", "--task", "translate", "--json"))
    parallel = json.loads(answers("corpus", "stats", "a.en", "a.de", "--task", "translate", "--json"))

    for found in (table, parallel):
        assert (found["documents"], found["characters"]) == (4, 3 + 4 + 3 + 4)


def test_bad_pairs_are_refused_or_noticed(invoke, refuses, in_tmp):
    Path("a.tsv").write_text("one\teins\nno tab\n", "utf-8")

    refuses(1, "corpus", "stats", "a.tsv", "--task", "translate", words=("a.tsv, line 2", "--on-bad-line skip"))
    skipped = invoke("corpus", "stats", "a.tsv", "--task", "translate", "--on-bad-line", "skip")
    assert skipped.exit_code == 0
    assert "line 2" in skipped.stderr
