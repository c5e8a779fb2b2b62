from __future__ import annotations

import itertools
import json
import math
import re

import numpy as np
import pytest

from seqgen.inspection.step import EQUATIONS, FUNCTIONS, Equation, NextToken, StepNumbers, TextSteps, UnitSteps
from seqgen.pages.step import show_number, step_page, write_equation

HOSTILE = ["</script>", "\u2028", "👩‍👧", "مرحبا", "\n", "antidisestablishmentarianism" * 3]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def _equations(form: str, seed: int) -> list[Equation]:
    """Return the equations of a step with random numbers."""
    rng = np.random.default_rng(seed)
    x, u, b_x, b_u = (rng.normal(0, 1.5, 4).tolist() for _ in range(4))
    names = ("hidden", "cell", "input", "forget", "output", "reset", "update", "candidate")
    before, values = ({name: float(rng.normal()) for name in names} for _ in range(2))
    after = {
        name: sigmoid(value) if name in names[2:7] else value * (1 if name == "cell" else 0.4)
        for name, value in values.items()
    }
    equations = EQUATIONS[form](StepNumbers(x, u, b_x, b_u, before, after))
    return [  # the results are random, and should be those of the equations
        Equation(one.symbol, one.template, one.numbers, one.compute(*one.numbers.values()), one.compute)
        for one in equations
    ]


@pytest.mark.parametrize("form", EQUATIONS)
def test_write_equation_gives_numbers_that_add_up_as_shown(form):
    for seed in range(50):
        for equation in _equations(form, seed):
            symbol, formula, numbers, result = write_equation(equation)

            value = eval(numbers, {"sigmoid": sigmoid, "tanh": math.tanh, "relu": lambda x: max(x, 0.0)})
            assert (symbol, formula) == (equation.symbol, equation.formula)
            assert show_number(value) == result == show_number(equation.value)
            assert not re.search(r"\+ -|--|-0\.0+\b(?!\d)", numbers)


def test_write_equation_has_three_decimals_if_they_suffice_and_more_if_not():
    def written(f: float, c: float) -> list[str]:
        numbers = {"f": f, "c": c, "i": 0.12, "g": -0.9}
        equation = Equation("c'", "{f} * {c} + {i} * {g}", numbers, f * c - 0.108, lambda f, c, i, g: f * c + i * g)
        return list(write_equation(equation)[2:])

    assert written(0.83, 0.41) == ["0.830 * 0.410 + 0.120 * -0.900", "0.232"]
    assert written(0.9996, 9.9994) == ["0.9996 * 9.9994 + 0.1200 * -0.9000", "9.887"]


def test_show_number_has_no_sign_before_zero():
    assert [show_number(number) for number in (-0.0004, -0.0006, 12.34567)] == ["0.000", "-0.001", "12.346"]
    assert FUNCTIONS["relu"](-1.0, 0.5) == 0


def _next(tokens: list[str]) -> list[NextToken]:
    likely = [("e", 0.61), (HOSTILE[-1], 0.2), ("\n", 0.0001)]
    known = [NextToken(likely, token, 0.5 if token == "e" else 7.0) for token in tokens]
    return [*known, NextToken(likely, None, None)]


def _steps(form: str, tokens: list[str], units: int = 2) -> TextSteps:
    made = [UnitSteps(0, 7 * unit, [_equations(form, 100 * unit + place) for place in range(len(tokens))])
            for unit in range(units)]  # fmt: skip
    return TextSteps(form.partition("-")[0], tokens, _next(tokens), made, None)


def _attending(tokens: list[str]) -> TextSteps:
    size = len(tokens)
    weights = np.tril(np.ones((2, size, size + 1)), 1) / np.arange(2, size + 2)[:, None]
    return TextSteps("transformer", tokens, _next(tokens), [], weights)


def test_step_page_has_the_figures_of_the_steps():
    steps = _steps("lstm", list("hello"))

    data = json.loads(re.search(r'id="data">(.*?)</script>', step_page(steps, "title"), re.DOTALL)[1])

    assert data["tokens"] == list("hello")
    assert [(unit["layer"], unit["unit"]) for unit in data["units"]] == [(0, 0), (0, 7)]
    assert data["units"][1]["steps"][4] == [list(write_equation(one)) for one in steps.units[1].equations[4]]
    assert data["next"][1]["actual"] == {"token": "e", "probability": math.exp(-0.5), "nats": 0.5}
    assert data["next"][5]["actual"] is None
    assert data["next"][5]["top"][2] == {"token": "⏎", "probability": 0.0001}
    assert data["attention"] is None


@pytest.mark.slow
@pytest.mark.parametrize(("width", "color_scheme"), [(400, "dark"), (400, "light"), (1200, "light")])
@pytest.mark.parametrize("form", ["rnn", "lstm", "gru", "transformer"])
def test_step_page_fits_the_window_at_every_step(open_page, form, width, color_scheme):
    steps = _attending(HOSTILE) if form == "transformer" else _steps(form, HOSTILE)
    page = open_page(step_page(steps, "Steps of " + "/a/long/path" * 10), width, color_scheme)

    for _ in range(len(HOSTILE)):
        page.keyboard.press("ArrowRight")
        boxes, blocks = (
            page.evaluate(
                """(selector) => [...document.querySelectorAll(selector)].map((one) => one.getBoundingClientRect())
                .filter((box) => box.width).map((box) => [box.left, box.right, box.top, box.bottom])""",
                selector,
            )
            for selector in ("main > *, section > *, .token, .percent, .equation", "main > *")
        )
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert min(left for left, *_ in boxes) >= 0
        assert max(right for _, right, *_ in boxes) <= width
        assert all(above[3] <= below[2] + 0.5 for above, below in itertools.pairwise(blocks))


@pytest.mark.slow
def test_step_page_shows_the_equations_of_the_step_by_keyboard_and_buttons(open_page):
    steps = _steps("lstm", list("hello"))
    page = open_page(step_page(steps, "title"))

    def check(place: int, unit: int = 0) -> None:
        """The equations, the values in the drawing and the selected token are those of the step."""
        shown = page.locator(".equation").all_inner_texts()
        for text, equation in zip(shown, steps.units[unit].equations[place], strict=True):
            symbol, formula, numbers, result = write_equation(equation)
            assert "".join(text.split()) == "".join(f"{symbol}={formula}={numbers}={result}".split())
            assert f"{symbol}{result}" in page.locator("#cell svg").text_content()
        assert page.locator("[aria-selected=true]").inner_text() == "hello"[place]

    check(0)
    page.keyboard.press("ArrowRight")
    check(1)
    page.locator("#forward").click()
    check(2)
    page.select_option("#unit", label="layer 0, unit 7")
    check(2, 1)
    page.locator("#text .token").nth(5).click()
    check(4, 1)
    page.keyboard.press("ArrowRight")
    check(4, 1)
    assert page.locator("#forward").is_disabled()
    page.keyboard.press("ArrowLeft")
    check(3, 1)
    page.keyboard.press("Home")
    assert page.locator("#cell").is_hidden()
    assert page.locator(".bars .percent").all_inner_texts() == ["61.0%", "20.0%", "< 0.1%", "< 0.1%"]  # h is not in top


@pytest.mark.slow
def test_step_page_shows_the_attention_of_each_layer(open_page):
    page = open_page(step_page(_attending(list("hello")), "title"))

    page.keyboard.press("ArrowRight")

    assert page.locator("#cell").is_hidden()
    assert page.locator(".layer .token").all_inner_texts() == ["start\n0.33", "h\n0.33", "e\n0.33"] * 2
