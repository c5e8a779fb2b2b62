"""Each kind of finding is counted and placed; good texts have none."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqgen.sources.misreading import detect_misreading
from seqgen.sources.statistics.quality import ADVICE, LONG_LINE, Block, Place, QualityChecks, split_into_blocks

GOOD = (
    "CAFÉ… «À la carte», “naïve”, São João, NÃO, ÇA, Ångström, señor, ESPAÑA, Größe, Žižek.\n"
    "Человек, ЁЖ. Ελλάδα, ΩΜΕΓΑ. 한국어 문장 ㅋㅋ. 漢字かな. Tiếng Việt. العربية.\n"
)
"""Text in which nothing is wrong."""


def look(*texts: str, size: int = 1 << 20):
    """The findings of some documents, a, b, ..., by kind."""
    checks = QualityChecks()
    for name, text in zip("abcd", texts, strict=False):
        last = Block("", name, 0)
        for last in split_into_blocks(name, [text], size):
            checks.add(last)
        checks.end_document(last)
    counts = Counter(map(ord, "".join(texts)))
    return {finding.kind: (finding.count, finding.place) for finding in checks.findings(dict(counts))}, checks


def test_a_good_text_has_no_findings():
    found, checks = look(GOOD * 2, GOOD)

    assert found == {}
    assert checks.newlines == {"lf": 6, "crlf": 0, "cr": 0}
    assert checks.longest_line == len(GOOD.split("\n", 1)[0])


@pytest.mark.parametrize(
    ("odd", "kind", "count"),
    [
        ("a\0b\0\n", "nul", 2),
        ("\x07\x7f\x02\x1a\n", "control_characters", 4),
        ("\x1b[31m\b\n", "terminal_codes", 2),
        ("one\f\ftwo\n", "form_feeds", 2),
        ("f\x84\x85lt\n", "c1_controls", 2),
        ("caf\ufffd\n", "replacement_characters", 1),
        ("and\ufeffthen\n", "byte_order_marks", 1),
        ("e\u0301te\u0301\n", "not_nfc", 1),
        (unicodedata.normalize("NFD", "한국어") + "\n", "not_nfc", 1),
        ("x" * (LONG_LINE + 1) + "\n", "long_lines", 1),
        ("x \nx\t\n x\n", "trailing_spaces", 2),
        ("one\r\ntwo\r\n", "mixed_newlines", 2),
        ("one\r", "mixed_newlines", 1),
    ],
)
def test_a_finding_has_its_count_and_first_place(odd, kind, count):
    found, _ = look(GOOD * 2, GOOD + GOOD + odd + GOOD)

    assert found[kind] == (count, Place("b", 5))
    assert found.keys() - {"rare_characters"} == {kind}


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
@pytest.mark.parametrize(
    "text",
    [
        "é",
        "Größe",
        "“quoted”",
        "…",
        "€",
        "한국어",
        "漢字",
        "привет",
        "λόγος",
        "😀",
        "Señor",
        "déjà vu",
        "à",
        "Óscar",
        "CÓDIGO",
        "Tiếng Việt",
    ],
)
def test_utf8_read_as_latin_1_is_mojibake(encoding, text):
    content = text.encode()
    garbled = "".join(bytes([byte]).decode(encoding, "ignore") or chr(byte) for byte in content)

    found, _ = look(GOOD + garbled + "\n")

    count, place = found["mojibake"]
    assert 1 <= count <= len(text)
    assert place == Place("a", 3)


@pytest.mark.parametrize(
    "text",
    [
        "Il a dit « la bonté\xa0» et la vérité\xa0». « Été\xa0»… à…» ‹é\xa0›, Nestlé®\xa0: voilà”\xa0—\n",
        "Er sagte: „Das ist schön“ und »nie«, „ja“–„nein“, heiß“–\n",
        "Dijo «pasó»… —«así»— y «qué…», ¿qué?¿«é»?\n",
        "Anh nói “và…” rồi “có…” và “TRẦN ÂU”. “là”…\n",
        "A «MANHû e a «MANHÔ, «IRMû.\n",
    ],
)
def test_quotation_marks_after_letters_are_not_mojibake(text):
    text += "A plain line, twice or more.\n"

    assert look(text * 30)[0] == {}
    assert detect_misreading(text * 30) is None


def test_many_characters_that_occur_once_are_a_finding():
    assert "rare_characters" not in look("abcdefghij" * 2 + "k")[0]
    assert look("a\naab\nc")[0]["rare_characters"] == (2, Place("a", 2))


def test_findings_do_not_depend_on_the_blocks():
    text = f"one\r\n{'x' * (LONG_LINE + 5)} \ne\u0301\nÃ©\n\0" + "tail " * LONG_LINE

    whole, checks = look(text, text)
    cut, in_blocks = look(text, text, size=64)

    assert whole == cut
    assert whole["long_lines"] == (4, Place("a", 2))
    assert checks.longest_line == in_blocks.longest_line == 1 + 5 * LONG_LINE


def test_advice_is_a_clause():
    own = {kind: advice for kind, advice in ADVICE.items() if kind not in {"mojibake", "nul"}}

    assert all(advice[:1].islower() or not advice for advice in own.values())
    assert not any(advice.endswith(".") for advice in ADVICE.values())


@pytest.mark.parametrize(
    ("text", "encoding", "read_as", "advice"),
    [
        ("Köln, Größe, für Müller, Übermut und Äpfel, schön.\n", "cp437", "latin-1", "--encoding cp437"),
        ("나는 오늘 학교에 간다. 날씨가 맑아서 걸어갔다.\n", "euc-kr", "latin-1", "--encoding cp949"),
        ("똠방각하와 펲시콜라를 마셨다. 햏자는 걸어갔다.\n", "cp949", "latin-1", "--encoding"),
        ("Every other one is NUL.\n", "utf-16-le", "utf-8", "--encoding utf-16-le"),
    ],
)
def test_a_wrong_encoding_is_one_finding(text, encoding, read_as, advice):
    checks = QualityChecks()
    garbled = (text * 40).encode(encoding).decode(read_as)
    for block in split_into_blocks("a", [garbled]):
        checks.add(block)
    checks.end_document(block)

    found = {finding.kind: finding for finding in checks.findings(dict(Counter(map(ord, garbled))))}

    assert found.keys() <= {"wrong_encoding", "control_characters", "trailing_spaces"}
    assert found["wrong_encoding"].place == Place("a", 1)
    assert advice in found["wrong_encoding"].advice


def test_documents_of_markup_and_json_are_counted():
    page = "<html><body>\n" + "<p>A sentence of <b>some</b> words.</p>\n" * 9
    rows = '{"text": "one sentence of many"}\n' * 9

    found, _ = look(GOOD * 9, page, rows, page)

    assert found["markup"] == (2, Place("b", 1))
    assert found["json"] == (1, Place("c", 1))


def test_lines_that_mostly_end_with_cr_are_a_finding():
    assert look("one\rtwo\rthree\r")[0]["cr_line_ends"] == (3, Place("a", 1))
    both = look("one\rtwo\rthree\n")[0]
    assert (both["cr_line_ends"][0], both["mixed_newlines"]) == (2, (1, Place("a", 3)))
    assert not look("one\rtwo\nthree\nfour\r\n")[0].keys() & {"cr_line_ends"}


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_sorted_lines_are_a_finding(newline):
    names = [first + second for first in "ABCDEFGHIJ" for second in ("ada", "eko", "ila", "oru", "una", "yvi")]

    whole, in_blocks = look(newline.join(names)), look(newline.join(names), size=64)

    assert whole[0]["sorted_lines"] == in_blocks[0]["sorted_lines"] == (59, Place("a", 1))
    assert "sorted_lines" not in look(newline.join(names[::-1]))[0]


TEXTS = st.lists(st.text(st.sampled_from("ab \r\n한"), max_size=20), max_size=6)


@settings(max_examples=50)
@given(TEXTS, st.integers(2, 9))
def test_blocks_join_to_the_document_and_keep_line_ends_whole(chunks, size):
    blocks = list(split_into_blocks("a.txt", chunks, size))

    assert "".join(block.text for block in blocks) == "".join(chunks)
    assert all(0 < len(block.text) <= 2 * size for block in blocks)
    for left, right in pairwise(blocks):
        assert not (left.text.endswith("\r") and right.text.startswith("\n"))


@settings(max_examples=50)
@given(TEXTS, st.integers(2, 9))
def test_place_of_is_the_line_of_the_character(chunks, size):
    text = "".join(chunks)
    ends = [match.end() for match in re.finditer(r"\r\n|\r|\n", text)]
    expected = [1 + sum(end <= position for end in ends) for position in range(len(text))]

    places = [
        block.place_of(position)
        for block in split_into_blocks("a.txt", chunks, size)
        for position in range(len(block.text))
    ]

    seen = [position for position in range(len(text)) if text[:position][-1:] + text[position] != "\r\n"]
    assert [places[position] for position in seen] == [Place("a.txt", expected[position]) for position in seen]


def test_a_block_ends_after_a_line_or_a_word():
    assert [block.text for block in split_into_blocks("a", ["one\ntwo three"], 6)] == ["one\n", "two ", "three"]
    assert [block.text for block in split_into_blocks("a", ["onetwothree"], 6)] == ["onetwo", "three"]
    assert [block.text for block in split_into_blocks("a", ["one\rtwo three"], 6)] == ["one\r", "two ", "three"]


def test_lines_of_a_block_have_no_ends():
    block = Block("one\r\ntwo\rthree\n", "a", 7)

    assert block.lines == ["one", "two", "three", ""]
    assert block.place_of_line(2) == Place("a", 10)
