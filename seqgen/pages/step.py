"""Write the equations of a cell with their numbers, and make the page that steps through a text."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from seqgen.inspection.step import Equation, NextToken, TextSteps, UnitSteps
from seqgen.pages.page import make_page
from seqgen.pages.visible import show_invisible

DECIMALS = 3
"""Decimals of a result."""
MOST_DECIMALS = 15
"""Decimals up to which fp64 numbers of a cell are exact."""


class WrittenEquation(NamedTuple):
    """An equation as text: symbol = formula = numbers = result."""

    symbol: str
    formula: str
    numbers: str
    """The formula with numbers in place of the names."""
    result: str


def write_equation(equation: Equation) -> WrittenEquation:
    """Write an equation with as few decimals as let the rounded numbers give the rounded result."""
    result, texts = show_number(equation.value), dict[str, str]()
    for decimals in range(DECIMALS, MOST_DECIMALS + 1):
        texts = {name: show_number(number, decimals) for name, number in equation.numbers.items()}
        if show_number(equation.compute(*map(float, texts.values()))) == result:
            break
    numbers = equation.template.format_map(texts).replace("+ -", "- ")
    return WrittenEquation(equation.symbol, equation.formula, numbers, result)


def show_number(number: float, decimals: int = DECIMALS) -> str:
    """Return a number with so many decimals, and no sign before a zero."""
    return f"{number:z.{decimals}f}"


def step_page(steps: TextSteps, title: str) -> str:
    """Return the HTML of a page that steps through a text by buttons and arrow keys.

    Raises:
        SaveError: the text is too long for one page.
    """
    attention = None if steps.attention is None else steps.attention.round(DECIMALS).tolist()
    data = {
        "cell": steps.cell,
        "tokens": [show_invisible(token) for token in steps.tokens],
        "next": [_describe_next(one) for one in steps.next_tokens],
        "units": [_describe_unit(one) for one in steps.units],
        "attention": attention,
    }
    return make_page("step", title, data)


def _describe_next(found: NextToken) -> dict[str, Any]:
    """Return the bars of the next tokens: the most probable ones, and the actual one."""
    top = [{"token": show_invisible(token), "probability": probability} for token, probability in found.top]
    actual = None
    if found.actual is not None and found.nats is not None:
        actual = {"token": show_invisible(found.actual), "probability": math.exp(-found.nats), "nats": found.nats}
    return {"top": top, "actual": actual}


def _describe_unit(unit: UnitSteps) -> dict[str, Any]:
    written = [[write_equation(equation) for equation in equations] for equations in unit.equations]
    return {"layer": unit.layer, "unit": unit.unit, "steps": written}
