"""Generate texts from a seed whose true entropy is known, to compare a model with.

Each source writes independent records, one per line. A newline ends a record and occurs nowhere else, so the entropy
of the text per character is exactly

    H = entropy of a record / mean length of a record                              (bits, characters; newline included)

No model can need fewer bits on a long text, and a model that has learned the rule needs no more. All characters are
ASCII, so bits per character are bits per byte.
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
"""Uniform in [0, 1): the one method of `random` that Python promises not to change between versions."""
SourceName = Literal["arithmetic", "brackets", "copy", "dates", "hello", "recall"]

CLOSING = {"(": ")", "[": "]", "{": "}"}
OPENS_OUTSIDE, OPENS_INSIDE = 0.75, 0.4
"""The probability that a bracket opens where no bracket is open, and where one is."""
MAX_ADDEND = 99
LETTERS = "abcdefgh"
COPY_LENGTH = 8
RECALL_LENGTH = 3
RECALL_DISTANCES = (1, 2, 5, 10, 20, 50, 100)
_RECALL_BITS = RECALL_LENGTH * math.log2(len(LETTERS)) + math.log2(len(RECALL_DISTANCES))
FIRST_DAY, LAST_DAY = dt.date(1900, 1, 1), dt.date(2099, 12, 31)
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
           "November", "December")  # fmt: skip
_DAYS = LAST_DAY.toordinal() - FIRST_DAY.toordinal() + 1


@dataclass(frozen=True)
class RecordSource:
    """How to generate a record, how many bits it costs, and the entropy of the text."""

    record: Callable[[Draw], str]
    """Returns a record with its newline."""
    bits: Callable[[str], float]
    """Returns -log2 of the probability of a record; infinity for a record that the source never writes."""
    entropy: Callable[[], float]
    """Returns the bits per character of an endless text."""


def brackets(draw: Draw) -> str:
    """Generate nested brackets of three kinds.

    At each step a bracket opens, of any kind with equal probability, or the innermost closes; where no bracket is open
    the line ends instead. A bracket opens with probability q = 0.75 where none is open, and p = 0.4 where one is.
    """
    record, open_now = "", ""
    while True:
        if draw() < (OPENS_INSIDE if open_now else OPENS_OUTSIDE):
            opening = tuple(CLOSING)[below(draw, len(CLOSING))]
            record, open_now = record + opening, CLOSING[opening] + open_now
        elif open_now:
            record, open_now = record + open_now[0], open_now[1:]
        else:
            return record + "\n"


def brackets_bits(record: str) -> float:
    """Add up one choice per character; its probability depends only on whether a bracket is open."""
    open_now, bits = "", 0.0
    for position, character in enumerate(record):
        opens = OPENS_INSIDE if open_now else OPENS_OUTSIDE
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
    """Return 1.68811, the weighted mean of the entropies of a choice inside and outside brackets.

    With k kinds, a choice inside has h(p) + p log2 k bits, and a choice outside h(q) + q log2 k. There are
    q / (1 - 2p) choices inside for each one outside: a bracket opens with probability q, and a random walk that goes up
    with probability p < 1/2, and otherwise down, takes 1 / (1 - 2p) steps on average to get one lower.
    """
    inside, outside = (_flip(opens) + opens * math.log2(len(CLOSING)) for opens in (OPENS_INSIDE, OPENS_OUTSIDE))
    steps = OPENS_OUTSIDE / (1 - 2 * OPENS_INSIDE)
    return (outside + steps * inside) / (1 + steps)


def arithmetic(draw: Draw) -> str:
    """Generate `a+b=c` in decimal digits, with a and b uniform from 0 to 99."""
    return _sum(below(draw, MAX_ADDEND + 1), below(draw, MAX_ADDEND + 1))


def arithmetic_bits(record: str) -> float:
    """Return the bits of a and b; the sum follows from them."""
    a, _, b = record.partition("=")[0].partition("+")
    real = a.isdecimal() and b.isdecimal() and max(int(a), int(b)) <= MAX_ADDEND and record == _sum(int(a), int(b))
    return 2 * math.log2(MAX_ADDEND + 1) if real else math.inf


def arithmetic_entropy() -> float:
    """Return 2 log2 100 = 13.288 bits per record, divided by the mean length of all 10,000 sums: 1.43040."""
    numbers = range(MAX_ADDEND + 1)
    return 2 * math.log2(MAX_ADDEND + 1) / _mean_length(_sum(a, b) for a, b in itertools.product(numbers, numbers))


def copy(draw: Draw) -> str:
    """Generate eight letters, each one of eight, and the same again after `|`: a memory of nine steps."""
    letters = "".join(LETTERS[below(draw, len(LETTERS))] for _ in range(COPY_LENGTH))
    return f"{letters}|{letters}\n"


def copy_bits(record: str) -> float:
    """Return the bits of the first eight letters; the others follow from them."""
    letters = record[:COPY_LENGTH]
    real = record == f"{letters}|{letters}\n" and len(letters) == COPY_LENGTH and set(letters) <= set(LETTERS)
    return COPY_LENGTH * math.log2(len(LETTERS)) if real else math.inf


def copy_entropy() -> float:
    """Return 8 x 3 bits in 18 characters: 4/3."""
    return COPY_LENGTH * math.log2(len(LETTERS)) / (2 * COPY_LENGTH + 2)


def dates(draw: Draw) -> str:
    """Generate a day of two centuries, such as `Saturday 21 November 2026`; the weekday follows from the date."""
    return _date(FIRST_DAY.toordinal() + below(draw, _DAYS))


def dates_bits(record: str) -> float:
    """Return the bits of the day."""
    words = record.split()
    try:
        day = dt.date(int(words[3]), MONTHS.index(words[2]) + 1, int(words[1]))
    except (ValueError, IndexError):
        return math.inf
    real = FIRST_DAY <= day <= LAST_DAY and record == _date(day.toordinal())
    return math.log2(_DAYS) if real else math.inf


def dates_entropy() -> float:
    """Return log2 73,049 = 16.157 bits per record, divided by the mean length of all days: 0.70257."""
    first = FIRST_DAY.toordinal()
    return math.log2(_DAYS) / _mean_length(_date(ordinal) for ordinal in range(first, first + _DAYS))


def hello(draw: Draw) -> str:  # noqa: ARG001 (nothing is random)
    """Return `hello`, always. The bits that a model needs for it are what it has not learned."""
    return "hello\n"


def hello_bits(record: str) -> float:
    """Return 0 bits: there is no choice."""
    return 0.0 if record == "hello\n" else math.inf


def hello_entropy() -> float:
    """Return 0: there is no choice."""
    return 0.0


def recall(draw: Draw) -> str:
    """Generate three letters, each one of eight, some other characters, and the letters again: `cab....|cab`.

    The number of characters in between is one of `RECALL_DISTANCES`, with equal probability: a memory task as in
    Hochreiter and Schmidhuber (1997), "Long short-term memory", at several distances, so that a model can learn the
    short ones first.
    """
    letters = "".join(LETTERS[below(draw, len(LETTERS))] for _ in range(RECALL_LENGTH))
    return _recall(letters, RECALL_DISTANCES[below(draw, len(RECALL_DISTANCES))])


def recall_bits(record: str) -> float:
    """Return the bits of the distance and of the first three letters; the others follow from them."""
    letters, distance = record[:RECALL_LENGTH], len(record) - 2 * RECALL_LENGTH - 1
    real = distance in RECALL_DISTANCES and record == _recall(letters, distance) and set(letters) <= set(LETTERS)
    return _RECALL_BITS if real else math.inf


def recall_entropy() -> float:
    """Return 9 bits and log2 7 in 33.86 characters on average: 0.34874."""
    letters = LETTERS[:RECALL_LENGTH]
    return _RECALL_BITS / _mean_length(_recall(letters, distance) for distance in RECALL_DISTANCES)


SOURCES: dict[str, RecordSource] = {
    "arithmetic": RecordSource(arithmetic, arithmetic_bits, arithmetic_entropy),
    "brackets": RecordSource(brackets, brackets_bits, brackets_entropy),
    "copy": RecordSource(copy, copy_bits, copy_entropy),
    "dates": RecordSource(dates, dates_bits, dates_entropy),
    "hello": RecordSource(hello, hello_bits, hello_entropy),
    "recall": RecordSource(recall, recall_bits, recall_entropy),
}


def generate(name: SourceName, characters: int, seed: str) -> str:
    """Return whole records of at least `characters` characters in all, the same on every machine and version."""
    draw, record = random.Random(seed).random, SOURCES[name].record  # noqa: S311 (not for secrets)
    records, written = [], 0
    while written < characters:
        records.append(record(draw))
        written += len(records[-1])
    return "".join(records)


def below(draw: Draw, limit: int) -> int:
    """Return a uniform whole number from 0 to `limit` - 1."""
    return int(draw() * limit)


def _flip(probability: float) -> float:
    """Return the entropy of a choice between two, in bits."""
    return -probability * math.log2(probability) - (1 - probability) * math.log2(1 - probability)


def _sum(a: int, b: int) -> str:
    return f"{a}+{b}={a + b}\n"


def _recall(letters: str, distance: int) -> str:
    return f"{letters}{'.' * (distance - 1)}|{letters}\n"


def _date(ordinal: int) -> str:
    day = dt.date.fromordinal(ordinal)
    # strftime would write in the language of the locale.
    return f"{WEEKDAYS[day.weekday()]} {day.day} {MONTHS[day.month - 1]} {day.year}\n"


def _mean_length(records: Iterable[str]) -> float:
    return statistics.fmean(map(len, records))
