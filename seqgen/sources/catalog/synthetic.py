"""Texts made by seed whose true entropy is known, so that a model can be held against the truth.

Each source writes records, one a line, drawn independently of one another. A newline ends a record and stands nowhere
else, so a text is its records and the entropy of the text by character is exactly

    H = entropy of a record / mean length of a record                              (bits, characters; newline included)

No model can need fewer bits on a long text, and one that has learnt the rule needs no more. All characters are ASCII:
bits per character are bits per byte.
"""

from __future__ import annotations

import datetime as dt
import itertools
import math
import random
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

Draw = Callable[[], float]
"""Uniform in [0, 1): the one call of `random` that Python promises not to change between versions."""
SourceName = Literal["arithmetic", "brackets", "copy", "dates", "hello"]

CLOSING = {"(": ")", "[": "]", "{": "}"}
OUTSIDE, INSIDE = 0.75, 0.4
"""The probability that a bracket opens where none is open, and where one is."""
LARGEST = 99
LETTERS = "abcdefgh"
COPIED = 8
FIRST_DAY, LAST_DAY = dt.date(1900, 1, 1), dt.date(2099, 12, 31)
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
           "November", "December")  # fmt: skip
_DAYS = LAST_DAY.toordinal() - FIRST_DAY.toordinal() + 1


@dataclass(frozen=True)
class Source:
    """How records are made, what each costs, and the entropy that follows."""

    record: Callable[[Draw], str]
    """A record, newline included."""
    bits: Callable[[str], float]
    """-log2 of a record's probability; infinite where the source never writes it."""
    entropy: Callable[[], float]
    """Bits per character of an endless text."""


def brackets(draw: Draw) -> str:
    """Nested brackets of three kinds.

    At each step one opens, of any kind alike, or the innermost closes; where none is open, the line ends instead. One
    opens with probability q = 0.75 where none is open, and with p = 0.4 where one is.
    """
    record, open_now = "", ""
    while True:
        if draw() < (INSIDE if open_now else OUTSIDE):
            opening = tuple(CLOSING)[_below(draw, len(CLOSING))]
            record, open_now = record + opening, CLOSING[opening] + open_now
        elif open_now:
            record, open_now = record + open_now[0], open_now[1:]
        else:
            return record + "\n"


def brackets_bits(record: str) -> float:
    """One choice a character: its probability depends on whether a bracket is open, and nothing else."""
    open_now, bits = "", 0.0
    for position, character in enumerate(record):
        opens = INSIDE if open_now else OUTSIDE
        if character in CLOSING:
            bits, open_now = bits - math.log2(opens / len(CLOSING)), CLOSING[character] + open_now
        elif character == (open_now[:1] or "\n"):
            bits, open_now = bits - math.log2(1 - opens), open_now[1:]
            if character == "\n":
                return bits if position == len(record) - 1 else math.inf
        else:
            return math.inf
    return math.inf


def brackets_entropy() -> float:
    """With k kinds a choice inside has h(p) + p log2 k bits, one outside h(q) + q log2 k.

    To one choice outside there are q / (1 - 2p) inside: one opens with probability q, and a walk that goes up with
    probability p < 1/2 and else down is back, one lower, after 1 / (1 - 2p) steps in the mean. H is the mean of the two
    by these weights: 1.68811.
    """
    inside, outside = (_flip(opens) + opens * math.log2(len(CLOSING)) for opens in (INSIDE, OUTSIDE))
    steps = OUTSIDE / (1 - 2 * INSIDE)
    return (outside + steps * inside) / (1 + steps)


def arithmetic(draw: Draw) -> str:
    """`a+b=c` with a and b uniform from 0 to 99, in decimals."""
    return _sum(_below(draw, LARGEST + 1), _below(draw, LARGEST + 1))


def arithmetic_bits(record: str) -> float:
    """What a and b cost; the sum is free for whoever can add."""
    a, _, b = record.partition("=")[0].partition("+")
    real = a.isdecimal() and b.isdecimal() and max(int(a), int(b)) <= LARGEST and record == _sum(int(a), int(b))
    return 2 * math.log2(LARGEST + 1) if real else math.inf


def arithmetic_entropy() -> float:
    """2 log2 100 = 13.288 bits a record, by its mean length, counted over all 10,000 sums: 1.43040."""
    numbers = range(LARGEST + 1)
    return 2 * math.log2(LARGEST + 1) / _mean_length(_sum(a, b) for a, b in itertools.product(numbers, numbers))


def copy(draw: Draw) -> str:
    """Eight letters, each of eight, and after `|` the same again: each is to be kept for nine steps."""
    letters = "".join(LETTERS[_below(draw, len(LETTERS))] for _ in range(COPIED))
    return f"{letters}|{letters}\n"


def copy_bits(record: str) -> float:
    """What the first eight letters cost; the others are free for whoever kept them."""
    letters = record[:COPIED]
    real = record == f"{letters}|{letters}\n" and len(letters) == COPIED and set(letters) <= set(LETTERS)
    return COPIED * math.log2(len(LETTERS)) if real else math.inf


def copy_entropy() -> float:
    """8 x 3 bits in 18 characters: 4/3."""
    return COPIED * math.log2(len(LETTERS)) / (2 * COPIED + 2)


def dates(draw: Draw) -> str:
    """A day of two centuries, uniform, as `Saturday 21 November 2026`: the day of the week follows from the rest."""
    return _date(FIRST_DAY.toordinal() + _below(draw, _DAYS))


def dates_bits(record: str) -> float:
    """What the day costs."""
    words = record.split()
    try:
        day = dt.date(int(words[3]), _MONTHS.index(words[2]) + 1, int(words[1]))
    except (ValueError, IndexError):
        return math.inf
    real = FIRST_DAY <= day <= LAST_DAY and record == _date(day.toordinal())
    return math.log2(_DAYS) if real else math.inf


def dates_entropy() -> float:
    """log2 73,049 = 16.157 bits a record, by its mean length, counted over all days: 0.70257."""
    first = FIRST_DAY.toordinal()
    return math.log2(_DAYS) / _mean_length(_date(ordinal) for ordinal in range(first, first + _DAYS))


def hello(draw: Draw) -> str:  # noqa: ARG001 (what is always the same draws nothing)
    """`hello`, always. What a model still spends on it is what it has not learnt."""
    return "hello\n"


def hello_bits(record: str) -> float:
    """Nothing, as there is no choice."""
    return 0.0 if record == "hello\n" else math.inf


def hello_entropy() -> float:
    """No choice, no entropy."""
    return 0.0


SOURCES: dict[str, Source] = {
    "arithmetic": Source(arithmetic, arithmetic_bits, arithmetic_entropy),
    "brackets": Source(brackets, brackets_bits, brackets_entropy),
    "copy": Source(copy, copy_bits, copy_entropy),
    "dates": Source(dates, dates_bits, dates_entropy),
    "hello": Source(hello, hello_bits, hello_entropy),
}


def generate(name: SourceName, characters: int, seed: str) -> str:
    """Whole records of a source, until there are so many characters; the same on every machine and version."""
    draw, record = random.Random(seed).random, SOURCES[name].record  # noqa: S311 (nothing secret)
    records, written = [], 0
    while written < characters:
        records.append(record(draw))
        written += len(records[-1])
    return "".join(records)


def _below(draw: Draw, limit: int) -> int:
    return int(draw() * limit)


def _flip(probability: float) -> float:
    """The entropy of one choice of two, in bits."""
    return -probability * math.log2(probability) - (1 - probability) * math.log2(1 - probability)


def _sum(a: int, b: int) -> str:
    return f"{a}+{b}={a + b}\n"


def _date(ordinal: int) -> str:
    day = dt.date.fromordinal(ordinal)
    # Not by strftime, which writes in the language of the locale.
    return f"{_WEEKDAYS[day.weekday()]} {day.day} {_MONTHS[day.month - 1]} {day.year}\n"


def _mean_length(records: Iterable[str]) -> float:
    return statistics.fmean(map(len, records))
