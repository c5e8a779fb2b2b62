"""Misread texts are detected; ordinary texts and program code are not."""

from __future__ import annotations

import inspect
import json
import random
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from seqgen.sources import misreading
from seqgen.sources.misreading import Order, describe_misreading, detect_misreading

from .test_guess_encoding import CHINESE, FRENCH, GERMAN, JAPANESE, KOREAN, RUSSIAN

NAMES = [f"{first}{second}{third}" for first in ("An", "Be", "Jo", "Mi") for second in ("la", "ro", "ti", "vu")
         for third in ("n", "s", "ra", "ko", "mi")]  # fmt: skip
CSV = "id,text,label\n" + "".join(f'{number},"Well, it was number {number}.",{number % 2}\n' for number in range(30))
HTML = "<!DOCTYPE html>\n<html><body>\n" + "<p>A sentence of <b>some</b> words.</p>\n" * 20 + "</body></html>\n"
ROWS = [{"text": f"sentence {number}", "label": number % 2} for number in range(200)]


@pytest.mark.parametrize(
    ("sample", "kind", "words"),
    [
        ((FRENCH * 3).encode("utf-16-le").decode("latin-1"), "wrong_encoding", "--encoding utf-16-le"),
        (("plain text\n" * 20).encode("utf-16-le").decode(), "wrong_encoding", "--encoding utf-16-le"),
        (("plain text\n" * 20).encode("utf-16-be").decode(), "wrong_encoding", "--encoding utf-16-be"),
        (("plain text\n" * 20).encode("utf-32-be").decode(), "wrong_encoding", "--encoding utf-32-be"),
        ((KOREAN * 9).encode("utf-16-le").decode("latin-1"), "wrong_encoding", "--encoding utf-16-le"),
        ((KOREAN * 9).encode("euc-kr").decode("latin-1"), "wrong_encoding", "cp949 read as Latin-1"),
        ((KOREAN * 9).encode("euc-kr").decode("cp1252", "replace"), "wrong_encoding", "--encoding cp949"),
        ((JAPANESE * 9).encode("shift-jis").decode("latin-1"), "wrong_encoding", "--encoding shift-jis"),
        ((JAPANESE * 9).encode("iso-2022-jp").decode(), "wrong_encoding", "--encoding iso-2022-jp"),
        ((KOREAN * 9).encode("iso-2022-kr").decode(), "wrong_encoding", "--encoding iso-2022-kr"),
        ((RUSSIAN * 9).encode("cp1251").decode("latin-1"), "wrong_encoding", "--encoding cp1251"),
        ((GERMAN * 9).encode("cp437").decode("latin-1"), "wrong_encoding", "--encoding cp437"),
        (("“It’s here,” – and left…\n" * 9).encode("cp1252").decode("latin-1"), "wrong_encoding", "cp1252"),
        ((KOREAN * 9).encode().decode("latin-1"), "mojibake", "--encoding utf-8"),
        ((GERMAN * 9).encode().decode("latin-1"), "mojibake", "--encoding utf-8"),
        ((FRENCH * 9).encode().decode("cp1252", "replace"), "mojibake", "--encoding utf-8"),
        ((KOREAN * 9).encode("cp949").decode("utf-8", "replace"), "replacement_characters", "U+FFFD"),
        ("\0" * 4_000, "binary", "right file"),
        (random.Random(1).randbytes(4_000).decode("latin-1"), "binary", "right file"),
        (HTML, "markup", ".html"),
        ("It was good.<br /><br />And <i>long</i>.\n" * 30, "markup", "tags"),
        (CSV, "table", "3 columns separated by commas"),
        (CSV.replace("\n", "\r\n"), "table", "3 columns"),
        ("".join(f"word{number}\t{number}\n" for number in range(30)), "table", "2 columns separated by tabs"),
        ("".join(f"word{number}\t{number}\n" for number in range(30)), "table", "--task translate"),
        ("".join(f'1,"Good, {number}, good"\n' for number in range(20)), "table", "2 columns separated by commas"),
        (json.dumps(ROWS), "json", "--field"),
        (json.dumps(ROWS, indent=2)[:3_000], "json", "--field"),
        (json.dumps({"text": "한국어 " * 4_000}, ensure_ascii=False)[:9_000], "json", "--field"),
        ("\n".join(map(json.dumps, ROWS)) + "\n", "json", ".jsonl"),
    ],
)  # fmt: skip
def test_detect_misreading_names_the_kind_with_advice(sample, kind, words):
    found = detect_misreading(sample)

    assert found is not None
    assert found.kind == kind
    assert words in str(found)


@pytest.mark.parametrize(
    "text",
    [
        KOREAN * 9,
        JAPANESE * 9,
        CHINESE * 9,
        RUSSIAN * 9,
        GERMAN * 9,
        FRENCH * 9,
        "“……” — “是。” ‘——’\n" * 20,
        "12 °C, 13 °C; ½ × ¾ = ±\n" * 20,
        "ROMEO:\nYes.\n\nJULIET:\nNo, not so.\n\n" * 20,
        "\f\n\x1b[1mA page\x1b[0m\nof a terminal\n" * 10,
        "one record\0another\0" * 20,
        "    if (a < b) {\n\tList<String> c = d;\n\t}\n#include <vector>\n" * 20,
        "[Verse 1]\nIt is a song, and long, and more\n\n[Chorus]\nla\n" * 10,
        "{% raw %} a template {% endraw %}\nof some kind\n" * 10,
        "\tindented by a tab\n\tand so is this\n" * 20,
        "Came, saw, won\nsat, stood, sat\n" * 20,
        "".join(f"{number} Main Street, Springfield, Illinois\n" for number in range(100)),
        "".join(f"A line that, after all, is {word}.\n" for word in NAMES[::-1]),
        "".join(f"JOHN:\tI say {word} and then go away\n" for word in NAMES),
        "".join(f"JOHN\tI say {word} and then go away\n" for word in NAMES),
        "".join(f"#define {word}\t{number}\n" for number, word in enumerate(NAMES)),
        "".join(
            f"Nov {1 + at // 20:02} 12:{at % 20:02}:01 host sshd[{at * 7919 % 9999}]: accepted\n" for at in range(400)
        ),
        "".join(f"Item {number:03}: {word} is a line of a list\n" for number, word in enumerate(NAMES)),
        "I came, I saw, I won.\nHe sat, and stood\nand sat, again, and again\n" * 20,
        inspect.getsource(misreading),
        inspect.getsource(random),
        "[1]",
        "",
    ],
)
def test_ordinary_text_is_not_a_misreading(text):
    assert detect_misreading(text) is None
    assert describe_misreading([(0, text)], in_order=True) is None


@pytest.mark.parametrize(("first", "is_table"), [("AL", True), ("ANN", False), ("Ann", True), ("Al:", False)])
def test_capitals_before_a_tab_are_a_speaker_from_three_on(first, is_table):
    found = detect_misreading("".join(f"{first}\tI say {word} and then go away\n" for word in NAMES))

    assert (found is not None) == is_table


@settings(max_examples=100)
@given(st.text(st.characters(codec=None), max_size=30), st.sampled_from(["", "{", '["', '{"a": ', "a,b\n", '"', "\0"]))
@example("9" * 5_000, "[")
@example("", "[" * 5_000)
def test_describe_misreading_accepts_any_text(text, start):
    describe_misreading([(0, start + text * 9), (1, (start + text) * 20)], in_order=True)


def test_texts_of_the_catalog_are_ordinary():
    for path in sorted((Path(__file__).parents[2] / "corpora").glob("*.txt")):
        assert describe_misreading([(0, path.read_text("utf-8"))], in_order=True) is None


def test_a_korean_file_read_as_latin_1_is_detected():
    places = getattr(find_spec("test"), "submodule_search_locations", None) or ()
    files = [path for place in places if (path := Path(place) / "cjkencodings" / "euc_kr.txt").is_file()]
    if not files:
        pytest.skip("this Python has no test/cjkencodings")

    assert "cp949 read as Latin-1" in str(detect_misreading(files[0].read_text("latin-1")))
    assert detect_misreading(files[0].with_name("euc_kr-utf8.txt").read_text("utf-8")) is None


@pytest.mark.parametrize(
    ("lines", "is_sorted"),
    [
        (sorted(NAMES), True),
        (sorted(NAMES, key=str.lower), True),
        (sorted(NAMES * 2), True),
        ([name.lower() if place % 2 else name for place, name in enumerate(sorted(NAMES))], True),
        (["", *sorted(NAMES), ""], True),
        ([f"{name}, of the {trade}s" for name in sorted(NAMES) for trade in ("baker", "miller")], True),
        (random.Random(1).sample(NAMES, len(NAMES)), False),
        ([f"Nov 29 12:{at // 60:02}:{at % 60:02} it went on" for at in range(300)], False),
        ([f"{day} Nov {at:02} it went on" for day in ("Fri", "Sat", "Sun") for at in range(10, 99)], False),
        ([f"Nov29-12:{at // 60:02}:{at % 60:02} it went on" for at in range(300)], False),
        ([f"item {at:03}" for at in range(300)], False),
        (sorted(NAMES)[:40], False),  # too few to tell
        (["Same"] * 100, False),
        ([f"2026-11-{day:02} 10:00 it went on" for day in range(1, 31)] * 3, False),
        ([f"{number:05} a numbered line" for number in range(200)], False),
        ([*(f"{number} of many" for number in range(500)), *sorted(NAMES)], False),
    ],
)
def test_order_detects_sorted_lines(lines, is_sorted):
    order = Order()
    for start in range(0, len(lines), 7):
        order.add(lines[start : start + 7])

    assert order.is_sorted is is_sorted


def test_order_compares_lines_inside_documents_only():
    order = Order()
    for _ in range(30):
        order.add(["Beata", "Carla", "Doris"])
        order.end_document()

    assert order.is_sorted


def test_describe_misreading_reports_what_is_frequent():
    rows = "\n".join(map(json.dumps, ROWS))

    assert describe_misreading([(0, KOREAN * 9), (0, HTML)], in_order=False).startswith(
        "looks like HTML or XML in 50% of the samples: "
    )
    assert describe_misreading([(number, KOREAN * 9) for number in range(15)] + [(15, HTML)], in_order=False) is None
    assert describe_misreading([(0, rows), (0, rows[500:2_000])], in_order=False).startswith("looks like JSON: ")
    assert describe_misreading([], in_order=True) is None
    names = "\n".join(sorted(NAMES))
    assert describe_misreading([(0, names)], in_order=False) is None
    assert describe_misreading([(0, names)], in_order=True).startswith("looks like a list in sorted order: ")
