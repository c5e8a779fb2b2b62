"""Generate pairs of a source and its target from a seed, where the right target follows from the source.

Parts have nothing in common: a hash of the target (of the source, where the target is a label or tags) decides whether
a pair belongs to `train`, to `valid`, or to the other parts. So no day of a test part occurs in training in any form,
and no Roman numeral of a test part is a target in training. No source occurs twice in a part.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from string import ascii_lowercase
from typing import Literal, NamedTuple

from seqgen.errors import ConfigError
from seqgen.sources.catalog.synthetic import CLOSING, MONTHS, WEEKDAYS, Draw, below

PairSourceName = Literal["bracket-matching", "copying", "dates-iso", "number-words", "parity", "reversal",
                         "roman-numerals", "sorting", "toy-grammar"]  # fmt: skip

FIRST_DAY, LAST_DAY = dt.date(1969, 1, 1), dt.date(2068, 12, 31)
"""A hundred years, so that each year of two digits means one of them: the century that POSIX chooses."""
DATE_FORMS = (
    "{weekday} {day} {month} {year}",
    "{weekday:.3}, {day} {month:.3} {year}",
    "{day} {month} {year}",
    "{day} {month:.3} {year}",
    "{month} {day}, {year}",
    "{month} {day}{ending}, {year}",
    "the {day}{ending} of {month} {year}",
    "{number}/{day}/{year}",
    "{number}/{day}/{short:02}",
    "{day:02}.{number:02}.{year}",
    "{day:02}.{number:02}.{short:02}",
    "{year}년 {number}월 {day}일",
    "{year}. {number}. {day}.",
)
"""How a date is written. The punctuation shows the order: a slash puts the month first, dots put a short year last."""
_SMALL = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
          "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_ROMAN = {"M": 1000, "CM": 900, "D": 500, "CD": 400, "C": 100, "XC": 90, "L": 50, "XL": 40, "X": 10, "IX": 9, "V": 5,
          "IV": 4, "I": 1}  # fmt: skip
LAST_ROMAN = 3999
MAX_REFUSED = 10_000
"""How many pairs in a row may be refused as known, or as those of another part."""
SUBJECTS, OBJECTS = ("she", "he", "we"), ("her", "him", "us")
WORDS = {
    "DET": ("the", "every", "this", "her"),
    "ADJ": ("old", "small", "green", "light"),
    "NOUN": ("dog", "cook", "bird", "can", "fish", "light"),
    "AUX": ("can", "will", "must"),
    "ADV": ("never", "often"),
    "VERB": ("see", "paint", "follow", "fish", "light"),
    "ADP": ("near", "with"),
    "CCONJ": ("and", "but"),
    "PRON": (*SUBJECTS, *OBJECTS),
}
"""The words of the toy grammar by their tags, which are those of Universal Dependencies."""


class Pair(NamedTuple):
    """A source and its target."""

    source: str
    target: str


@dataclass(frozen=True)
class PairSource:
    """How to generate a pair, and what parts must not share."""

    make: Callable[[Draw, int], Pair]
    """Returns a pair with a source of a given length."""
    length: str | None
    """What the length counts; None where it means nothing."""
    withheld: Literal["source", "target"] = "target"
    """The side of a pair that decides its part."""
    labels: tuple[str, ...] = ()
    """The targets, equally probable, where they are labels."""


def dates_iso(draw: Draw, _length: int) -> Pair:
    """Generate a date in one of 13 forms, such as `November 21st, 2026`, and as `2026-11-21`."""
    days = LAST_DAY.toordinal() - FIRST_DAY.toordinal() + 1
    day = dt.date.fromordinal(FIRST_DAY.toordinal() + below(draw, days))
    source = _choose(draw, DATE_FORMS).format(
        weekday=WEEKDAYS[day.weekday()],
        day=day.day,
        ending="th" if 11 <= day.day <= 13 else {1: "st", 2: "nd", 3: "rd"}.get(day.day % 10, "th"),
        month=MONTHS[day.month - 1],
        number=day.month,
        year=day.year,
        short=day.year % 100,
    )
    return Pair(source, day.isoformat())


def reversal(draw: Draw, length: int) -> Pair:
    """Generate letters, and the same letters from the last to the first."""
    letters = _letters(draw, length)
    return Pair(letters, letters[::-1])


def copying(draw: Draw, length: int) -> Pair:
    """Generate letters, and the same letters again."""
    letters = _letters(draw, length)
    return Pair(letters, letters)


def sorting(draw: Draw, length: int) -> Pair:
    """Generate letters, and the same letters in the order of the alphabet."""
    letters = _letters(draw, length)
    return Pair(letters, "".join(sorted(letters)))


def number_words(draw: Draw, length: int) -> Pair:
    """Generate a number of up to six digits in English words, such as `three hundred and five`, and its digits."""
    first = 10 ** (length - 1)
    number = first + below(draw, 9 * first)
    return Pair(_in_words(number), str(number))


def roman_numerals(draw: Draw, _length: int) -> Pair:
    """Generate a number up to 3999 in digits, and as a Roman numeral."""
    number = 1 + below(draw, LAST_ROMAN)
    rest, numeral = number, ""
    for letters, value in _ROMAN.items():
        count, rest = divmod(rest, value)
        numeral += count * letters
    return Pair(str(number), numeral)


def bracket_matching(draw: Draw, length: int) -> Pair:
    """Generate `length` pairs of brackets, and whether they match: `balanced` or `unbalanced`, with equal probability.

    Unbalanced brackets are one change away from balanced ones: a bracket becomes another, or two change places. The
    second half cannot be recognized by counting brackets.
    """
    brackets = _balanced(draw, length)
    if draw() < 0.5:
        return Pair(brackets, "balanced")
    swaps, changed = draw() < 0.5, brackets
    while _matches(changed):
        at = below(draw, 2 * length)
        if swaps:
            other = below(draw, 2 * length)
            characters = list(brackets)
            characters[at], characters[other] = characters[other], characters[at]
            changed = "".join(characters)
        else:
            changed = brackets[:at] + _choose(draw, "()[]{}") + brackets[at + 1 :]
    return Pair(changed, "unbalanced")


def parity(draw: Draw, length: int) -> Pair:
    """Generate bits, and whether the number of ones is `even` or `odd`, with equal probability."""
    bits = "".join(_choose(draw, "01") for _ in range(length))
    return Pair(bits, ("even", "odd")[bits.count("1") % 2])


def toy_grammar(draw: Draw, length: int) -> Pair:
    """Generate `length` clauses, and the tag of each word; four words are ambiguous, each sentence has one reading.

    The words before decide whether `fish` is a noun or a verb. The words after decide whether `her` is a determiner or
    a pronoun, and whether `light` is an adjective or a noun. `can` may need both.
    """
    words: list[tuple[str, str]] = []
    for clause in range(length):
        words += [*([_word(draw, "CCONJ")] if clause else []), *_noun_phrase(draw, SUBJECTS), _word(draw, "AUX")]
        words += [*([_word(draw, "ADV")] if draw() < 0.25 else []), _word(draw, "VERB")]
        words += _noun_phrase(draw, OBJECTS) if draw() < 0.75 else []
        words += [_word(draw, "ADP"), *_noun_phrase(draw, OBJECTS)] if draw() < 0.25 else []
    return Pair(" ".join(word for word, _ in words), " ".join(tag for _, tag in words))


PAIR_SOURCES: dict[str, PairSource] = {
    "bracket-matching": PairSource(bracket_matching, "pairs of brackets", "source", ("balanced", "unbalanced")),
    "copying": PairSource(copying, "letters"),
    "dates-iso": PairSource(dates_iso, None),
    "number-words": PairSource(number_words, "digits"),
    "parity": PairSource(parity, "bits", "source", ("even", "odd")),
    "reversal": PairSource(reversal, "letters"),
    "roman-numerals": PairSource(roman_numerals, None),
    "sorting": PairSource(sorting, "letters"),
    "toy-grammar": PairSource(toy_grammar, "clauses", "source"),
}


def generate_pairs(
    name: PairSourceName, part: str, count: int, seed: int, lengths: tuple[int, int] | None = None
) -> Iterator[Pair]:
    """Yield `count` pairs of a part, the same on every machine and version.

    Args:
        name: a key of `PAIR_SOURCES`.
        part: `train` and `valid` have pairs of their own; those of all other parts are a third set.
        count: the number of pairs.
        seed: decides which pairs belong to a part, and which of them are drawn.
        lengths: the shortest and the longest length; each length between them is equally probable.

    Raises:
        ConfigError: there are too few different pairs of these lengths; possibly after some pairs.
    """
    draw = random.Random(f"{seed} {name} {part}").random  # noqa: S311 (not for secrets)
    source, (shortest, longest) = PAIR_SOURCES[name], lengths or (0, 0)
    owner = part if part in {"train", "valid"} else "test"
    drawn: set[str] = set()
    label, refused = None, 0
    while len(drawn) < count:
        pair = source.make(draw, shortest + below(draw, longest - shortest + 1))
        if source.labels:  # one label for all attempts at a pair, so that labels stay equally probable
            label = label or pair.target
        is_new = label in {None, pair.target} and pair.source not in drawn
        if is_new and _owner(f"{seed} {getattr(pair, source.withheld)}") == owner:
            drawn.add(pair.source)
            label, refused = None, 0
            yield pair
        elif (refused := refused + 1) == MAX_REFUSED:
            raise ConfigError(
                f"{name}: only {len(drawn):,} different pairs were found for its part {part}, not {count:,}; ask for "
                "fewer, or for greater lengths"
            )


def _owner(key: str) -> str:
    """Return `test` for a tenth of all keys, `valid` for another tenth, and `train` for the others."""
    remainder = int(hashlib.sha256(key.encode()).hexdigest(), 16) % 10
    return {0: "test", 1: "valid"}.get(remainder, "train")


def _choose(draw: Draw, options: Sequence[str]) -> str:
    return options[below(draw, len(options))]


def _letters(draw: Draw, length: int) -> str:
    return "".join([ascii_lowercase[below(draw, 26)] for _ in range(length)])


def _in_words(number: int) -> str:
    """Return a number below a million in English words."""
    if number < 20:
        return _SMALL[number - 1]
    if number < 100:
        tens, rest = divmod(number, 10)
        return _TENS[tens - 2] + (f" {_in_words(rest)}" if rest else "")
    unit, name = (1000, "thousand") if number >= 1000 else (100, "hundred")
    count, rest = divmod(number, unit)
    joint = " and " if rest < 100 else " "
    return f"{_in_words(count)} {name}" + (joint + _in_words(rest) if rest else "")


def _balanced(draw: Draw, pairs: int) -> str:
    """Return balanced brackets, all shapes equally probable (Arnold and Sleep 1980), of kinds chosen at random."""
    text, open_now = "", ""
    for left in range(2 * pairs, 0, -1):
        depth = len(open_now)
        if draw() * 2 * left * (depth + 1) < depth * (left + depth + 2):
            text, open_now = text + open_now[0], open_now[1:]
        else:
            opening = _choose(draw, tuple(CLOSING))
            text, open_now = text + opening, CLOSING[opening] + open_now
    return text


def _matches(brackets: str) -> bool:
    """Return whether brackets are balanced."""
    open_now = ""
    for character in brackets:
        if character in CLOSING:
            open_now = CLOSING[character] + open_now
        elif open_now[:1] == character:
            open_now = open_now[1:]
        else:
            return False
    return not open_now


def _noun_phrase(draw: Draw, pronouns: Sequence[str]) -> list[tuple[str, str]]:
    """Return the words of a noun phrase with their tags: a pronoun, or a noun with up to two adjectives."""
    if draw() < 0.3:
        return [(_choose(draw, pronouns), "PRON")]
    return [_word(draw, "DET"), *(_word(draw, "ADJ") for _ in range(below(draw, 3))), _word(draw, "NOUN")]


def _word(draw: Draw, tag: str) -> tuple[str, str]:
    return _choose(draw, WORDS[tag]), tag
