from __future__ import annotations

import base64
import itertools
import json
import re

import numpy as np
import pytest

from seqgen.errors import ConfigError, SaveError
from seqgen.inspection.units import FoundUnits, UnitTrace, find_similar, find_units
from seqgen.pages.units import choose_units, quantize, units_page

LINES = 'def f(a, b):\n\treturn g("x", [a, b])\n\n'
HOSTILE = "</script><!-- \u2028 👩‍👧 مرحبا\r\n " + "x" * 300 + "\n"


def trace_of(*documents: str | list[str], count: int = 12) -> UnitTrace:
    """Return a trace of texts, a token for each character, or of tokens; at x, a:1 and a:3 are high and a:2 is low."""
    tokens = [list(document) for document in documents]
    total = sum(map(len, tokens))
    values = np.random.default_rng(0).normal(size=(total, count)).astype(np.float32)
    marked = np.array(["x" in token for token in (one for own in tokens for one in own)])
    values[:, 1] = np.where(marked, 4, 0.01 * values[:, 1])
    values[:, 2] = np.where(marked, -2, 0.01 * values[:, 2])
    values[:, 3] = np.where(marked, 3, 0.01 * values[:, 3])
    return UnitTrace(tokens, {"a": 4, "b": count - 4}, values)


def data_of(page: str) -> dict:
    return json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])


def test_units_page_holds_the_text_and_the_states_as_bytes():
    trace = trace_of(LINES * 10, HOSTILE)

    data = data_of(units_page(trace, find_units(trace), "title"))

    assert data["documents"] == [LINES * 10, HOSTILE]
    assert data["lengths"] is None
    assert len(data["units"]) == 12
    for one in data["units"]:
        values = trace.unit(one["name"])
        states = np.frombuffer(base64.b64decode(one["states"]), np.uint8)
        assert one["scale"] == abs(values).max()
        np.testing.assert_allclose((states.astype(int) - 128) / 127 * one["scale"], values, atol=one["scale"] / 253)
        high = (one["high"] - 128) / 127 * one["scale"]
        low = (one["low"] - 128) / 127 * one["scale"]
        assert (low, high) == pytest.approx((values.mean() - values.std(), values.mean() + values.std()), abs=1e-3)


def test_units_page_holds_the_units_that_were_found_with_their_figures():
    trace = trace_of(LINES * 10)
    found = find_units(trace, top=2)

    data = data_of(units_page(trace, found, "title"))

    assert [(one["probe"], one["name"]) for one in data["found"]] == [(one.probe, one.unit) for one in found.found]
    for one, expected in zip(data["found"], found.found, strict=True):
        assert data["units"][one["unit"]]["name"] == expected.unit
        assert (one["fitted"], one["held_out"]) == (round(expected.fitted, 4), round(expected.held_out, 4))
    assert (data["tried"], data["half"], data["absent"]) == (12, found.half, found.absent)


def test_units_page_holds_the_lengths_of_tokens_of_several_characters():
    trace = trace_of(["ab", "", "👩‍👧 x"] * 40)

    data = data_of(units_page(trace, find_units(trace), "title"))

    assert data["lengths"] == [[2, 0, 5] * 40]


def test_choose_units_takes_asked_then_found_then_varying_units():
    trace = trace_of(LINES * 10)
    trace.values[:, 3] = np.where(np.arange(len(trace.values)) % 2, 5, -5)  # the largest deviation for its size
    trace.values[:, 5] = 0
    found = find_units(trace)
    best = list(dict.fromkeys(one.unit for one in found.best()))
    asked = next(name for name in reversed(trace.names) if name not in best and name != "b:1")

    names = choose_units(trace, found, [asked, asked.replace(":", ":0")], 100)

    others = names[1 + len(best) :]
    assert names[: 1 + len(best)] == [asked, *best]
    assert others[-1] == "b:1"
    assert "a:3" in {*best, others[0]}
    assert sorted(names) == sorted(trace.names)
    assert choose_units(trace, found, [asked, "b:1"], 1) == [asked, "b:1"]
    with pytest.raises(ConfigError, match="b:8"):
        choose_units(trace, found, ["b:8"], 1)


def test_quantize_keeps_zero_and_both_ends():
    scale, states = quantize(np.array([-4, -2, 0, 4], np.float32))

    assert (scale, states.tolist(), states.dtype) == (4.0, [1, 64, 128, 255], np.uint8)
    assert quantize(np.zeros(2, np.float32))[1].tolist() == [128, 128]


def test_units_page_of_100_kb_is_under_2_mb_and_a_longer_text_has_fewer_units():
    trace = trace_of(LINES * 2710, count=16)
    found = FoundUnits([], [], 16, 50_000, 100_000)

    page = units_page(trace, found, "title")

    assert len(trace.tokens) >= 100_000
    assert len(page.encode()) < 2_000_000
    assert len(data_of(page)["units"]) == 13
    with pytest.raises(SaveError, match="title"):
        units_page(trace_of(["ab " * 10_000] * 100, count=16), found, "title")


@pytest.mark.slow
@pytest.mark.parametrize("color_scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1200])
def test_units_page_fits_the_window_without_overlaps(open_page, width, color_scheme):
    trace = trace_of(LINES * 40, HOSTILE)
    page = open_page(
        units_page(trace, find_units(trace, top=2), "Units of " + "/a/long/path" * 20), width, color_scheme
    )
    page.locator("#text").focus()
    page.keyboard.press("ArrowDown")
    page.locator("#find").click()

    boxes, blocks = (
        page.evaluate(
            """(selector) => [...document.querySelectorAll(selector)].map((one) => one.getBoundingClientRect())
            .filter((box) => box.width).map((box) => [box.left, box.right, box.top, box.bottom])""",
            selector,
        )
        for selector in ("main > *, #choices > *, #scale > *, #places button", "main > *")
    )
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert min(left for left, *_ in boxes) >= 0
    assert max(right for _, right, *_ in boxes) <= width
    assert all(above[3] <= below[2] for above, below in itertools.pairwise(blocks))
    assert page.locator("#text").evaluate("(one) => one.scrollWidth <= one.clientWidth")


@pytest.mark.slow
def test_units_page_shows_values_and_colors_of_the_chosen_unit(open_page):
    trace = trace_of(LINES * 10)
    found = find_units(trace)
    page = open_page(units_page(trace, found, "title"))
    place = LINES.index("x")

    def color(token: int) -> str:
        return page.locator("#text .document > span > span").nth(token).get_attribute("class")

    for unit, sign, largest in (("a:1", "+", "positive v8"), ("a:2", "−", "negative v8")):
        names = page.locator("#unit option").all_inner_texts()
        page.select_option("#unit", label=next(name for name in names if name.startswith(unit)))
        assert color(place) == largest
        assert color(place - 1).strip() == ""
        page.locator("#text .document > span > span").nth(place).hover()
        assert f"{unit} = {sign}{abs(trace.unit(unit)[place]):.3f}" in page.locator("#reading").inner_text()
    red = page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--positive')")
    page.check("#safe")
    assert page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--positive')") != red
    page.locator("#found button").first.click()
    assert page.locator("#unit").evaluate("(one) => one.selectedOptions[0].text").startswith(found.best()[0].unit)


@pytest.mark.slow
def test_units_page_draws_what_is_scrolled_to(open_page):
    trace = trace_of(LINES * 500)
    page = open_page(units_page(trace, find_units(trace), "title"))
    drawn = page.locator("#text .document > span > span")

    drawn.first.wait_for()
    assert drawn.count() < len(trace.tokens)
    page.locator("#text").evaluate("(one) => one.scrollTo(0, one.scrollHeight)")
    page.locator("#text .document").first.locator("> :last-child > :first-child").wait_for(state="attached")


@pytest.mark.slow
def test_units_page_finds_the_places_that_the_library_finds(open_page):
    trace = trace_of(LINES * 4, LINES)
    place = LINES.index("x")
    expected = find_similar(trace, place, place + 1)
    page = open_page(units_page(trace, find_units(trace), "title"))

    page.locator("#text").focus()
    page.keyboard.press("ArrowDown")
    for _ in range(place - LINES.index("\n") - 1):
        page.keyboard.press("ArrowRight")
    assert page.evaluate("selected") == [place, place + 1]
    page.keyboard.press("Enter")

    found = page.evaluate("findSimilar(...selected)")
    assert {"+a:1", "-a:2", "+a:3"} <= set(expected.units)
    assert sorted(found["units"]) == sorted(expected.units)
    assert [tuple(one.values()) for one in found["places"]] == [
        (one.start, one.stop, one.matched) for one in expected.places
    ]
    assert page.locator("#places li").count() == len(expected.places) == 4
    page.locator("#places button").first.click()
    assert page.evaluate("document.getSelection().toString()") == "x"


@pytest.mark.slow
def test_units_page_extends_the_selection_by_keyboard_and_takes_that_of_the_pointer(open_page):
    trace = trace_of(LINES * 10)
    page = open_page(units_page(trace, find_units(trace), "title"))
    page.locator("#text").focus()

    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "Shift+ArrowLeft", "Shift+ArrowLeft"):
        page.keyboard.press(key)
    second = LINES.index("\n") + 1
    assert page.evaluate("selected") == [second, second + 3]
    page.keyboard.press("Shift+End")
    assert page.evaluate("selected") == [second + 2, LINES.index("\n\n") + 1]
    page.keyboard.press("Home")
    assert page.evaluate("selected") == [second, second + 1]
    first, last = (page.locator("#text .document > span > span").nth(token).bounding_box() for token in (4, 8))
    page.mouse.move(first["x"] + 1, first["y"] + 5)
    page.mouse.down()
    page.mouse.move(last["x"] + last["width"] - 1, last["y"] + 5)
    page.mouse.up()
    for _ in range(100):  # not wait_for_function, whose code the page's policy forbids
        if page.evaluate("selected") == [4, 9]:
            break
        page.wait_for_timeout(20)
    assert page.evaluate("selected") == [4, 9]
