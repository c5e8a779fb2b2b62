from __future__ import annotations

import itertools
import json
import re

import numpy as np
import pytest

from seqgen.errors import SaveError
from seqgen.inspection.attention import HeadFigures, TextAttention
from seqgen.pages.attention import AttentionExample, attention_page, heads_page

HOSTILE = ["</script>", "<!--", "\u2028", "👩‍👧", "مرحبا", "\n", " ", "antidisestablishmentarianism" * 3]


def _weights(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).dirichlet(np.ones(shape[-1]), shape[:-1])


def _data(page: str) -> list[dict]:
    return json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])["examples"]


def test_attention_page_holds_the_weights_and_visible_tokens():
    weights = [[0.125, 0.875, 0.0], [1.0, 0.0, 0.0]]

    (example,) = _data(attention_page([AttentionExample(["a", " ", "\n"], ["x", "<"], weights)], "title"))

    assert (example["source"], example["target"]) == (["a", "␣", "⏎"], ["x", "<"])
    assert [one["weights"] for one in example["maps"]] == [weights]


def test_attention_page_offers_the_mean_and_each_head():
    weights = _weights(2, 2, 4)

    (example,) = _data(attention_page([AttentionExample(list("abcd"), list("xy"), weights)], "title"))

    names, maps = zip(*(one.values() for one in example["maps"]), strict=True)
    assert names == ("mean of all heads", "head 0", "head 1")
    np.testing.assert_array_equal(maps, np.round([weights.mean(0), *weights], 4))


def test_attention_page_marks_unknown_tokens():
    example = AttentionExample(["é", "a"], ["x"], [[0.5, 0.5]], unknown_source=[0])

    marked, plain = _data(attention_page([example, AttentionExample(["é"], ["x"], [[1]])], "title"))

    assert marked["source"] == ["é*", "a"]
    assert "<unk>" in marked["unknown"]
    assert (plain["source"], plain["unknown"]) == (["é"], "")


def test_heads_page_holds_the_maps_and_figures_of_the_library():
    found = _text_attention()

    data = json.loads(re.search(r'id="data">(.*?)</script>', heads_page(found, "title"), re.DOTALL)[1])

    assert [one["name"] for one in data["examples"]] == ["layer 0", "layer 1"]
    for layer, example in enumerate(data["examples"]):
        assert example["source"] == ["<start>", "a", "é*", "␣"]
        assert example["target"] == ["a", "é*", "␣"]
        np.testing.assert_allclose([one["weights"] for one in example["maps"]][1:], found.weights[layer], atol=6e-5)
    assert [one["name"] for one in data["examples"][1]["maps"]] == ["mean of all heads", "head 0", "head 1, induction"]
    assert data["heads"][0] == {"layer": 1, "head": 1, "role": "induction", "figures": [0.9, 0.1, 1.5, 0.25, 0.0625]}
    assert data["shown"] == [1, 2]
    assert '"shown":[0,0]' in heads_page(found, "title", 0)
    assert '"shown":[0,2]' in heads_page(found, "title", 0, 1)
    assert data["figures"] == ["induction", "previous token", "distance", "entropy", "to <start>"]


def _text_attention() -> TextAttention:
    """Return two layers of two heads at three tokens; head 1 of layer 1 is an induction head."""
    weights = np.tril(np.ones((3, 4)), 1) / np.array([[2], [3], [4]])
    heads = [HeadFigures(layer, head, 1, 1, 0.5, 0.125, 0.25) for layer in range(2) for head in range(2)]
    heads[-1] = HeadFigures(1, 1, distance=1.5, entropy=0.25, start=0.0625, previous=0.1, induction=0.9)
    return TextAttention(["a", "é", " "], [1], np.float32([[weights] * 2] * 2), heads, 32, is_cut=False)


@pytest.mark.parametrize(
    "weights",
    [[[0.5, 0.5, 0.0]], [[0.5, 0.5]] * 2, [0.5, 0.5], [[[]]], [[np.nan, 0.5]], [[-0.1, 1.1]], [[0.0, 1.1]]],
    ids=str,
)
def test_attention_example_refuses_impossible_weights_and_shapes(weights):
    with pytest.raises(ValueError, match="weights"):
        AttentionExample(["a", "b"], ["x"], weights)


def test_attention_example_accepts_weights_rounded_up_in_half_precision():
    assert AttentionExample(["a"], ["x"], np.float16([[1.0009765625]])).mean > 1


def test_attention_page_refuses_no_examples_and_too_many():
    large = AttentionExample(["a"] * 300, ["x"] * 300, np.full((300, 300), 1 / 3))

    assert len(attention_page([large], "title")) < 2_000_000
    with pytest.raises(SaveError, match="title"):
        attention_page([large] * 4, "title")
    with pytest.raises(ValueError, match="examples"):
        attention_page([], "title")


@pytest.mark.slow
@pytest.mark.parametrize("color_scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1200])
def test_attention_page_fits_the_window_without_overlaps(open_page, width, color_scheme):
    examples = [
        AttentionExample(HOSTILE, HOSTILE[::-1], _weights(2, 8, 8)),
        AttentionExample(list("Monday, March 3rd 2026") * 3, list("2026-03-03"), _weights(10, 66)),
    ]
    page = open_page(attention_page(examples, "Attention of " + "/a/long/path" * 10), width, color_scheme)

    for index in range(2):
        page.select_option("#example", str(index))
        boxes, blocks = (
            page.evaluate(
                """(selector) => [...document.querySelectorAll(selector)].map((one) => one.getBoundingClientRect())
                .filter((box) => box.width).map((box) => [box.left, box.right, box.top, box.bottom])""",
                selector,
            )
            for selector in ("main > *, .token, #reading span", "main > *")
        )
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert min(left for left, *_ in boxes) >= 0
        assert max(right for _, right, *_ in boxes) <= width
        assert all(above[3] <= below[2] for above, below in itertools.pairwise(blocks))


@pytest.mark.slow
@pytest.mark.parametrize("width", [320, 400, 700, 1200])
def test_attention_page_does_not_move_the_map_when_another_token_is_chosen(open_page, width):
    target = ["x", "antidisestablishmentarianism" * 3, *"yz"]
    page = open_page(attention_page([AttentionExample(HOSTILE, target, _weights(4, 8))], "title"), width)

    tops = set()
    for row in range(4):
        page.locator("#target .token").nth(row).focus()
        tops.add(page.locator("#scroll").bounding_box()["y"] + page.evaluate("window.scrollY"))

    assert len(tops) == 1


@pytest.mark.slow
def test_attention_page_shows_the_weights_of_the_chosen_token_by_keyboard_and_pointer(open_page):
    weights = _weights(2, 3, 8)
    page = open_page(attention_page([AttentionExample(HOSTILE, ["x", "y", "z"], weights)], "title"))

    def shown() -> tuple[str, list[float]]:
        numbers = page.locator("#source .token span").all_inner_texts()
        assert numbers == page.locator("tr.selected td").all_inner_texts()
        return page.locator("#target [aria-selected=true]").inner_text(), [float(number) for number in numbers]

    def expected(row: int, head: np.ndarray) -> tuple[str, list]:
        return "xyz"[row], pytest.approx(head[row], abs=0.00506)

    assert shown() == expected(0, weights.mean(0))
    page.locator("#target [tabindex='0']").focus()
    page.keyboard.press("ArrowRight")
    assert shown() == expected(1, weights.mean(0))
    page.keyboard.press("End")
    page.keyboard.press("ArrowDown")
    assert shown() == expected(2, weights.mean(0))
    page.select_option("#map", label="head 1")
    assert shown() == expected(2, weights[1])
    page.locator("tbody tr").first.locator("td").last.hover()
    assert shown() == expected(0, weights[1])
    largest = int(weights[1, 0].argmax())
    assert page.locator("#source .token bdi").nth(largest).inner_text() in page.locator("#reading").inner_text()


@pytest.mark.slow
@pytest.mark.parametrize(("width", "color_scheme"), [(400, "dark"), (1200, "light")])
def test_heads_page_shows_the_head_that_is_chosen_and_fits_the_window(open_page, width, color_scheme):
    found = _text_attention()
    page = open_page(heads_page(found, "Attention of a run"), width, color_scheme)

    def chosen() -> tuple[str, str, list[str]]:
        selects = [page.locator(f"#{name} option:checked").inner_text() for name in ("example", "map")]
        return (*selects, page.locator("#heads tr.selected button").all_inner_texts())

    assert chosen() == ("layer 1", "head 1, induction", ["1"])  # the highest score
    page.locator("#target .token").nth(2).focus()
    page.get_by_role("button", name="Show layer 0, head 1").click()
    assert chosen() == ("layer 0", "head 1", ["1"])
    assert page.locator("#target [aria-selected=true]").inner_text() == "␣"
    numbers = [float(number) for number in page.locator("tr.selected td.shade").all_inner_texts()]
    assert numbers == pytest.approx(found.weights[0, 1, 2], abs=0.00506)
    page.select_option("#example", label="layer 1")
    assert chosen() == ("layer 1", "mean of all heads", [])
    assert page.locator("#unknown").inner_text().startswith("*")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    boxes = page.evaluate(
        """[...document.querySelectorAll("main > *, main > section > *")]
        .filter((one) => one.localName !== "section").map((one) => one.getBoundingClientRect())
        .filter((box) => box.height).map((box) => [box.top, box.bottom])"""
    )
    assert all(above[1] <= below[0] for above, below in itertools.pairwise(boxes))
