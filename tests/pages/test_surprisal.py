"""The page of surprisal: its figures are those of the library, and it can be used with a pointer and with keys."""

from __future__ import annotations

import itertools
import json
import re

import numpy as np
import pytest

from seqgen.data.documents import Documents
from seqgen.evaluation.config import EvaluationConfig
from seqgen.evaluation.surprisal.difference import compare_tokens
from seqgen.evaluation.surprisal.measure import measure_surprisal
from seqgen.evaluation.surprisal.passages import hardest_passages
from seqgen.pages import surprisal as module
from seqgen.pages.chart import chart_data
from seqgen.pages.charts.calibration import reliability_diagram
from seqgen.pages.packing import DIGITS
from seqgen.pages.page import LARGEST_DATA
from seqgen.pages.surprisal import surprisal_page
from seqgen.sources.source import LoadedDocuments
from seqgen.tokenizers.byte import ByteTokenizer
from seqgen.tokenizers.char import CharTokenizer

from ..conftest import build_model

HOSTILE = "a <b>&amp;</script>\n\n\t왕 👩‍👧 مرحبا \u202eabc\r\n\x00\x1b[31m\n" + "w" * 300 + "\nend"
WORDS = "the king paints the rain and forgets the garden gate\nno one follows\n"


def measured(*texts, tokenizer=None, cell="gru", calibration=False, places=None):
    tokenizer = tokenizer or ByteTokenizer()
    documents = LoadedDocuments.of(texts, places=places)
    ids = Documents.of(map(tokenizer.encode, texts), ends=True)
    model = build_model(cell, vocab_size=tokenizer.vocab_size)
    return measure_surprisal(model, tokenizer, documents, ids, EvaluationConfig(), calibration=calibration)


def data_of(html: str) -> dict:
    return json.loads(re.search(r'id="data">(.*?)</script>', html, re.DOTALL)[1])


def unpack(packed: dict) -> np.ndarray:
    width = packed["width"]
    digits = np.array([DIGITS.index(digit) for digit in packed["digits"]], np.int64).reshape(packed["count"], width)
    return digits @ 64 ** np.arange(width)[::-1] + packed["low"]


def test_page_holds_every_token_with_the_figures_of_the_library():
    found = measured(WORDS, HOSTILE, places=["a.txt", "the document on line 3 of b.txt"])

    page = surprisal_page({"runs/a": found}, "title")

    data = data_of(page.html)
    (view,) = data["views"]
    tokens = list(found.tokens)
    assert page.notice is data["notice"] is data["chart"] is None
    assert view["text"] == "".join(one.scores.text for one in tokens)
    spans = np.concatenate([one.scores.spans for one in tokens])
    assert unpack(view["lengths"]).tolist() == np.diff(spans, axis=1)[:, 0].tolist()
    nats = np.concatenate([one.nats for one in tokens])
    np.testing.assert_allclose(unpack(view["nats"]) / 100, nats, atol=0.0051)
    assert unpack(view["ranks"]).tolist() == np.concatenate([one.rank for one in tokens]).tolist()
    assert unpack(view["counts"]).tolist() == found.lines.tokens.tolist()
    np.testing.assert_allclose(unpack(view["line_nats"]) / 100, found.lines.nats, atol=0.0051)
    np.testing.assert_allclose(unpack(view["line_bits"]) / 100, found.lines.bits_per_byte, atol=0.0051)
    assert unpack(data["numbers"]).tolist() == found.lines.line.tolist()
    assert view["strangest"] == found.lines.strangest(20).tolist()
    np.testing.assert_allclose(unpack(view["line_strangeness"]) / 100, found.lines.strangeness, atol=0.0051)
    expected = hardest_passages(nats, 20, np.repeat([0, 1], list(map(len, tokens))))
    assert [one[:2] for one in view["passages"]] == [[one.start, one.stop] for one in expected]
    assert data["places"] == [[0, "a.txt"], [2, "line 3 of b.txt"]]


def test_page_holds_what_was_expected_in_place_of_each_token():
    found = measured("ab ba\n", tokenizer=CharTokenizer("\n ab"))

    (view,) = data_of(surprisal_page({"run": found}, "title").html)["views"]

    alternatives = view["alternatives"]
    assert np.cumsum(unpack(alternatives["steps"])).tolist() == list(range(7))
    names = np.array(alternatives["names"])[unpack(alternatives["ids"])].reshape(7, alternatives["each"])
    shown = {"<end>": "<end>", "<unk>": "<unk>", "\n": "⏎", " ": "␣"}
    assert names.tolist() == [
        [shown.get(name := found.tokens.name(token), name) for token in row] for row in found.tokens[0].top
    ]
    shares = unpack(alternatives["shares"]).reshape(7, -1)
    np.testing.assert_allclose(shares / 1e4, found.tokens[0].top_probabilities, atol=0.0051)
    assert alternatives["from"] is None


def test_alternatives_are_of_the_hardest_tokens_where_a_page_has_no_room_for_all(monkeypatch):
    found = measured(WORDS * 5)
    whole = len(surprisal_page({"run": found}, "title").html)
    monkeypatch.setattr(module, "LARGEST", 7_000)

    page = surprisal_page({"run": found}, "title")

    alternatives = data_of(page.html)["views"][0]["alternatives"]
    kept = np.cumsum(unpack(alternatives["steps"]))
    nats = found.tokens[0].nats
    assert 0 < len(kept) < len(nats)
    assert set(kept) == set(np.argsort(-nats, kind="stable")[: len(kept)])
    assert alternatives["from"] == pytest.approx(nats[kept].min())
    assert len(page.html) < whole


def test_page_of_two_runs_colors_the_difference_of_spans_that_both_have():
    words, letters = measured(WORDS, tokenizer=CharTokenizer("ahe ")), measured(WORDS, cell="lstm")

    data = data_of(surprisal_page({"runs/a": words, "runs/b": letters}, "title").html)

    first, second, difference = data["views"]
    expected = compare_tokens(words.tokens[0].scores, letters.tokens[0].scores)
    assert [one["name"] for one in (first, second, difference)] == ["runs/a", "runs/b", "difference"]
    np.testing.assert_allclose(unpack(difference["first"]) / 100, expected.first, atol=0.0051)
    np.testing.assert_allclose(unpack(difference["second"]) / 100, expected.second, atol=0.0051)
    np.testing.assert_allclose(
        unpack(difference["line_nats"]) / 100, words.lines.nats - letters.lines.nats, atol=0.0051
    )
    better = "runs/a" if words.evaluation.bits_per_byte < letters.evaluation.bits_per_byte else "runs/b"
    assert difference["summary"].startswith(better)


@pytest.mark.parametrize(
    ("by", "count", "shown"), [("line", 2, [3, 1]), ("document", 1, [1, 2]), ("line", None, [3, 1, 2])]
)
def test_page_by_line_or_document_shows_the_strangest_first(by, count, shown):
    found = measured("aaa\nb\naaaa\n", tokenizer=CharTokenizer("\nab"))
    found.lines.nats[:] = [3.0, 0.5, 9.0]

    data = data_of(surprisal_page({"run": found}, "title", by, count).html)

    if by == "document":
        shown = [1, 2, 3]
    assert unpack(data["numbers"]).tolist() == shown
    assert (data["notice"] is None) == (len(shown) == 3)


def test_passages_of_strangest_lines_stay_in_lines_that_are_neighbors():
    words = "".join(f"{word}\n" for word in WORDS.split())
    found = measured(words, tokenizer=CharTokenizer(sorted(set(words) - {"g", "t"})))  # unknown letters are hard

    (view,) = data_of(surprisal_page({"run": found}, "title", "line").html)["views"]

    numbers = found.lines.line[found.lines.strangest()]
    apart = np.cumsum(unpack(view["counts"]))[:-1][np.diff(numbers) != 1]
    assert view["passages"]
    assert not any(start < edge < stop for start, stop, _ in view["passages"] for edge in apart)


def test_longer_texts_are_cut_after_whole_lines_and_the_page_says_so(monkeypatch):
    found = measured(WORDS * 3)
    monkeypatch.setattr(module, "MOST_TOKENS", 130)

    page = surprisal_page({"run": found}, "title")

    assert page.notice == data_of(page.html)["notice"]
    assert re.search(r"\b3 lines\b.*\b6 lines\b", page.notice)
    assert data_of(page.html)["views"][0]["text"] == (WORDS * 3)[: len(WORDS) + WORDS.index("\n") + 1]
    monkeypatch.setattr(module, "MOST_TOKENS", 10)
    cut = surprisal_page({"run": found}, "title")
    assert data_of(cut.html)["views"][0]["text"] == WORDS[:10]
    assert "first 10 tokens" in cut.notice


@pytest.mark.slow
@pytest.mark.parametrize("runs", [1, 2])
def test_page_of_a_hundred_kilobytes_is_under_two_megabytes(runs):
    draw = np.random.default_rng(0)
    text = "".join(draw.choice(list("etaoinshrdlu \n"), 99_999)) + "\n"
    found = {f"runs/{number}": measured(text, calibration=True) for number in range(runs)}

    page = surprisal_page(found, "title")

    assert page.notice is None
    assert len(data_of(page.html)["views"][0]["text"]) == 100_000
    assert len(page.html.encode()) < 2_000_000 <= LARGEST_DATA


def test_calibration_is_on_the_page_as_bins_and_as_a_diagram():
    found = measured(WORDS, calibration=True)
    bins = found.calibration.rows()

    data = data_of(surprisal_page({"run": found}, "title").html)

    rows = [[one.low, one.high, one.count, one.confidence, one.accuracy] for one in bins]
    np.testing.assert_allclose(data["calibration"][0]["bins"], rows, atol=5.1e-5)
    assert data["chart"] == chart_data(reliability_diagram({"run": found.calibration}))


def test_page_needs_the_tokens():
    found = measured(WORDS)

    with pytest.raises(ValueError, match="tokens"):
        surprisal_page({"run": type(found)(**{**vars(found), "tokens": None})}, "title")


def hostile_pages():
    return {
        "one": surprisal_page(
            {"runs/a": measured(HOSTILE, WORDS, calibration=True, places=["x/" * 90, ""])},
            "Surprisal of " + "/a/long/path" * 10,
        ),
        "two": surprisal_page({"runs/a": measured(HOSTILE), "runs/b": measured(HOSTILE, cell="lstm")}, "title"),
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", ["one", "two"])
@pytest.mark.parametrize("color_scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1200])
def test_page_fits_the_window_without_overlaps(open_page, width, color_scheme, name):
    page = open_page(hostile_pages()[name].html, width, color_scheme)

    for view in range(page.locator("#view option").count()):
        page.select_option("#view", str(view)) if name == "two" else None
        blocks = page.evaluate(
            """[...document.querySelectorAll("main > *, #lists > section")].map((one) => one.getBoundingClientRect())
            .filter((box) => box.width).map((box) => [box.left, box.right, box.top, box.bottom])"""
        )
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert min(left for left, *_ in blocks) >= 0
        assert max(right for _, right, *_ in blocks) <= width
        tops = page.evaluate(
            """[...document.querySelectorAll("main > *")].map((one) => one.getBoundingClientRect())
            .filter((box) => box.width).map((box) => [box.top, box.bottom])"""
        )
        assert all(above[1] <= below[0] for above, below in itertools.pairwise(tops))
        wide = page.evaluate(
            "document.getElementById('text').scrollWidth - document.getElementById('text').clientWidth"
        )
        assert wide <= 0


@pytest.mark.slow
def test_page_shows_the_token_that_is_chosen_by_keyboard_and_pointer(open_page):
    found = measured(WORDS, tokenizer=CharTokenizer(sorted(set(WORDS) - {"g"})))  # the unknown letter is a passage
    tokens = found.tokens[0]
    page = open_page(surprisal_page({"run": found}, "title").html)

    def expect(position: int) -> None:
        text = page.locator("#reading").inner_text()
        assert f"{tokens.nats[position]:.2f} nats" in text
        assert f"rank {tokens.rank[position]}" in text
        names = page.locator("#reading .alternative bdi").all_inner_texts()
        signs = {" ": "␣", "\n": "⏎"}
        assert names == [signs.get(name := found.tokens.name(token), name) for token in tokens.top[position].tolist()]

    expect(0)
    page.locator("#text").focus()
    page.keyboard.press("ArrowRight")
    expect(1)
    page.keyboard.press("ArrowDown")
    expect(WORDS.index("\n") + 2)
    page.keyboard.press("End")
    expect(len(tokens) - 1)
    page.keyboard.press("Home")
    expect(WORDS.index("\n") + 1)
    page.locator(".cell").nth(7).hover()
    expect(7)
    first = hardest_passages(tokens.nats, 1)[0]
    page.locator("#passages button").first.click()
    expect(first.start)
    assert page.locator(".cell.passage").count() == first.stop - first.start
    assert page.locator("#lines tbody td").nth(1).inner_text() == f"{found.lines.strangeness.max():.2f}"
    page.locator("#lines button").first.click()
    assert page.locator(".cell.passage").count() == found.lines.tokens[found.lines.strangest(1)[0]]


@pytest.mark.slow
def test_page_shows_around_a_passage_only_what_is_next_to_it_in_the_text(open_page):
    words = "".join(f"{word}\n" for word in WORDS.split())
    found = measured(words, tokenizer=CharTokenizer(sorted(set(words) - {"g", "t"})))

    page = open_page(surprisal_page({"run": found}, "title", "line").html)

    shown = page.locator("#passages button").evaluate_all(
        "(all) => all.map((one) => [...one.children].slice(0, 3).map((part) => part.textContent).join(''))"
    )
    assert len(shown) > 5
    assert all(one in words.replace("\n", "⏎") for one in shown)


@pytest.mark.slow
def test_page_shows_a_line_of_forty_thousand_tokens_in_rows(open_page):
    found = measured("ab" * 19_999 + "a", tokenizer=CharTokenizer("ab"))  # and its end

    page = open_page(surprisal_page({"run": found}, "title").html)

    rows = page.locator("#text .line")
    assert rows.count() == 40
    assert page.locator("#text .cell").count() == 40_000
    assert page.locator("#text .number").all_text_contents() == ["1", *[""] * 39]


@pytest.mark.slow
def test_page_hides_the_heading_of_passages_where_there_are_none(open_page):
    html = surprisal_page({"run": measured("a")}, "title").html
    page = open_page(html)

    assert data_of(html)["views"][0]["passages"] == []
    assert not page.locator("#passages-title").is_visible()
    assert page.locator("#lines-title").is_visible()


@pytest.mark.slow
def test_page_shows_parts_of_a_character_together_and_the_difference_with_its_sign(open_page):
    byte, char = measured("왕a", cell="lstm"), measured("왕a", tokenizer=CharTokenizer("a왕"))
    page = open_page(surprisal_page({"runs/a": byte, "runs/b": char}, "title").html)
    expected = compare_tokens(byte.tokens[0].scores, char.tokens[0].scores)

    assert page.locator("#view option").all_inner_texts() == ["runs/a", "runs/b", "difference"]
    assert page.locator("#text .cell").all_inner_texts() == ["왕", "a", "⟨end⟩"]
    numbers = re.findall(r"[+−]?([\d.]+) nats", page.locator("#reading").inner_text())
    shown = [abs(expected.nats[0]), expected.first[0], expected.second[0]]
    assert [float(number) for number in numbers] == pytest.approx(shown, abs=0.0101)
    assert ("−" if expected.nats[0] < 0 else "+") in page.locator("#reading").inner_text()
    page.select_option("#view", "0")
    assert page.locator("#text .cell").all_inner_texts() == ["왕", "a", "⟨end⟩"]
    parts = page.locator("#reading p").all_inner_texts()[1:]
    assert [f"{nats:.2f}" in part for nats, part in zip(byte.tokens[0].nats[:3], parts, strict=True)] == [True] * 3
    page.select_option("#color", "rank")
    assert "rank" in page.locator("#scale").inner_text()
