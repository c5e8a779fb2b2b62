"""What looks wrong in a text: each kind is found, counted and placed, and good texts are left in peace."""

from __future__ import annotations

import unicodedata
from collections import Counter

import pytest

from seqgen.sources.misreading import detect_misreading
from seqgen.sources.statistics.blocks import Block, Place, blocks_of
from seqgen.sources.statistics.quality import ADVICE, LONG_LINE, QualityChecks

GOOD = (
    "CAFÉ… «À la carte», “naïve”, São João, NÃO, ÇA, Ångström, señor, ESPAÑA, Größe, Žižek.\n"
    "Человек, ЁЖ. Ελλάδα, ΩΜΕΓΑ. 한국어 문장 ㅋㅋ. 漢字かな. Tiếng Việt. العربية.\n"
)
"""Once per character or more; nothing in it is wrong."""


def look(*texts: str, size: int = 1 << 20):
    """The findings of some documents, a, b, ..., by kind."""
    oddities = QualityChecks()
    for name, text in zip("abcd", texts, strict=False):
        last = Block("", name, 0)
        for last in blocks_of(name, [text], size):
            oddities.add(last)
        oddities.end_document(last)
    counts = Counter(map(ord, "".join(texts)))
    return {finding.kind: (finding.count, finding.place) for finding in oddities.findings(dict(counts))}, oddities


def test_a_good_text_has_nothing():
    found, oddities = look(GOOD * 2, GOOD)

    assert found == {}
    assert oddities.newlines == {"lf": 6, "crlf": 0, "cr": 0}
    assert oddities.longest_line == len(GOOD.split("\n", 1)[0])


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
def test_an_odd_line_is_counted_and_placed(odd, kind, count):
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
def test_utf8_read_as_another_encoding_is_mojibake(encoding, text):
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
def test_quotation_marks_after_letters_are_no_mojibake(text):
    text += "A plain line, twice or more.\n"

    assert look(text * 30)[0] == {}
    assert detect_misreading(text * 30) is None


def test_characters_that_occur_once_are_a_finding_where_they_are_many():
    assert "rare_characters" not in look("abcdefghij" * 2 + "k")[0]
    assert look("a\naab\nc")[0]["rare_characters"] == (2, Place("a", 2))


def test_blocks_change_nothing():
    text = f"one\r\n{'x' * (LONG_LINE + 5)} \ne\u0301\nÃ©\n\0" + "tail " * LONG_LINE

    whole, oddities = look(text, text)
    cut, in_blocks = look(text, text, size=64)

    assert whole == cut
    assert whole["long_lines"] == (4, Place("a", 2))
    assert oddities.longest_line == in_blocks.longest_line == 1 + 5 * LONG_LINE


def test_advice_says_what_to_do_in_one_sentence():
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
def test_a_text_in_another_encoding_is_that_and_neither_terminal_codes_nor_utf_8(text, encoding, read_as, advice):
    oddities = QualityChecks()
    garbled = (text * 40).encode(encoding).decode(read_as)
    for block in blocks_of("a", [garbled]):
        oddities.add(block)
    oddities.end_document(block)

    found = {finding.kind: finding for finding in oddities.findings(dict(Counter(map(ord, garbled))))}

    assert found.keys() <= {"wrong_encoding", "control_characters", "trailing_spaces"}
    assert found["wrong_encoding"].place == Place("a", 1)
    assert advice in found["wrong_encoding"].advice


def test_documents_that_are_no_plain_text_are_counted():
    page = "<html><body>\n" + "<p>A sentence of <b>some</b> words.</p>\n" * 9
    rows = '{"text": "one sentence of many"}\n' * 9

    found, _ = look(GOOD * 9, page, rows, page)

    assert found["markup"] == (2, Place("b", 1))
    assert found["json"] == (1, Place("c", 1))


def test_carriage_returns_alone_are_a_finding_where_they_are_the_rule():
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
