"""Every target is right as computed here in another way, and parts have nothing in common."""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import itertools
import re
from collections import Counter

import pytest

from seqgen.errors import ConfigError
from seqgen.sources.catalog.corpus import corpus_specs
from seqgen.sources.catalog.readers import SyntheticPairs
from seqgen.sources.catalog.synthetic_pairs import PAIR_SOURCES, WORDS, Pair, generate_pairs

CATALOG = {spec.name: spec for spec in corpus_specs().values() if isinstance(spec.reader, SyntheticPairs)}
LINES = 600
"""How many pairs of each part a test looks at."""
MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAY, MONTH, YEAR = r"(?P<day>\d{1,2})", r"(?P<month>[A-Z][a-z]+)", r"(?P<year>\d{4})"
NUMBER, SHORT, WEEKDAY = r"(?P<number>\d{1,2})", r"(?P<short>\d\d)", r"(?P<weekday>[A-Z][a-z]+)"
ORDINAL = DAY + r"(?P<ending>st|nd|rd|th)"
FORMS = {
    f"{WEEKDAY} {DAY} {MONTH} {YEAR}": "Saturday 21 November 2026",
    f"{WEEKDAY}, {DAY} (?P<shortmonth>[A-Z][a-z][a-z]) {YEAR}": "Sat, 21 Nov 2026",
    f"{DAY} (?P<longmonth>[A-Z][a-z]{{3,}}) {YEAR}": "21 November 2026",
    f"{DAY} (?P<shortmonth>[A-Z][a-z][a-z]) {YEAR}": "21 Nov 2026",
    f"{MONTH} {DAY}, {YEAR}": "November 21, 2026",
    f"{MONTH} {ORDINAL}, {YEAR}": "November 21st, 2026",
    f"the {ORDINAL} of {MONTH} {YEAR}": "the 21st of November 2026",
    f"{NUMBER}/{DAY}/{YEAR}": "11/21/2026",
    f"{NUMBER}/{DAY}/{SHORT}": "11/21/26",
    rf"{DAY}\.{NUMBER}\.{YEAR}": "21.11.2026",
    rf"{DAY}\.{NUMBER}\.{SHORT}": "21.11.26",
    f"{YEAR}년 {NUMBER}월 {DAY}일": "2026년 11월 21일",
    rf"{YEAR}\. {NUMBER}\. {DAY}\.": "2026. 11. 21.",
}
ORDINALS = {"st": {1, 21, 31}, "nd": {2, 22}, "rd": {3, 23}, "th": {*range(4, 21), *range(24, 31)}}
NUMBERS = {
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
    "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16, "seventeen": 17,
    "eighteen": 18, "nineteen": 19, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70,
    "eighty": 80, "ninety": 90,
}  # fmt: skip
NUMERAL = re.compile("M{0,3}(CM|CD|D?C{0,3})(XC|XL|L?X{0,3})(IX|IV|V?I{0,3})")
NOUN_PHRASE = "(PRON|DET( ADJ){0,2} NOUN)"
CLAUSE = f"{NOUN_PHRASE} AUX( ADV)? VERB( {NOUN_PHRASE})?( ADP {NOUN_PHRASE})?"
SENTENCE = re.compile(f"{CLAUSE}( CCONJ {CLAUSE})*")


@functools.cache
def pairs(name: str, part: str) -> list[Pair]:
    """Return the first pairs of a part of the catalog."""
    reader = CATALOG[name].reader
    assert isinstance(reader, SyntheticPairs)
    chosen = next(one for one in reader.split if one.name == part)
    return list(itertools.islice(generate_pairs(reader.source, part, chosen.pairs, reader.seed, chosen.lengths), LINES))


def all_pairs(name: str) -> list[Pair]:
    return [pair for part in CATALOG[name].reader.parts for pair in pairs(name, part)]


def read_date(source: str) -> tuple[str, dt.date]:
    """Return the form of a date, by the example of FORMS, and the date."""
    ((example, found),) = [(FORMS[form], match) for form in FORMS if (match := re.fullmatch(form, source))]
    parts = found.groupdict()
    words = [parts[key] for key in ("month", "shortmonth", "longmonth") if parts.get(key)]
    month = int(parts["number"]) if "number" in parts else MONTHS.index(words[0][:3].lower()) + 1
    short = int(parts.get("short") or 0)
    year = int(parts["year"]) if "year" in parts else short + (1900 if short >= 69 else 2000)
    day = dt.date(year, month, int(parts["day"]))
    assert parts.get("weekday", DAYS[day.weekday()])[:3].lower() == DAYS[day.weekday()]
    assert day.day in ORDINALS[parts.get("ending") or next(key for key in ORDINALS if day.day in ORDINALS[key])]
    return example, day


def test_dates_have_13_forms_and_their_iso_form_as_target():
    forms = Counter()

    for source, target in all_pairs("dates-iso"):
        form, day = read_date(source)
        forms[form] += 1
        assert dt.date.fromisoformat(target) == day

    assert forms.keys() == set(FORMS.values())
    assert min(forms.values()) > sum(forms.values()) / 20


def test_dates_are_those_of_a_hundred_years():
    years = {int(target[:4]) for _, target in pairs("dates-iso", "train")}

    assert (min(years), max(years), len(years)) == (1969, 2068, 100)


@pytest.mark.parametrize(
    ("name", "answer"),
    [("reversal", reversed), ("copying", lambda letters: letters), ("sorting", sorted)],
)
def test_letters_have_the_right_target_and_lengths(name, answer):
    reader = CATALOG[name].reader
    for part in reader.split:
        found = pairs(name, part.name)
        lengths = {len(source) for source, _ in found}

        assert all(target == "".join(answer(source)) for source, target in found)
        assert all(re.fullmatch("[a-z]+", source) for source, _ in found)
        assert lengths == set(range(part.lengths[0], part.lengths[1] + 1))
    assert {letter for source, _ in pairs(name, "test") for letter in source} == set("abcdefghijklmnopqrstuvwxyz")


def test_lengths_are_equally_probable():
    counts = Counter(len(source) for source, _ in generate_pairs("reversal", "train", 3_000, 0, (1, 30)))

    assert all(counts[length] == pytest.approx(100, abs=40) for length in range(3, 31))


def test_number_words_spell_their_digits():
    lengths = Counter()

    for source, target in all_pairs("number-words"):
        total = part = 0
        for word in source.split():
            if word == "thousand":
                total, part = 1_000 * part, 0
            elif word == "hundred":
                part *= 100
            elif word != "and":
                part += NUMBERS[word]
        assert str(total + part) == target
        lengths[len(target)] += 1

    assert lengths.keys() == {1, 2, 3, 4, 5, 6}


def test_number_words_have_an_and_before_what_is_below_a_hundred():
    for source, target in pairs("number-words", "train"):
        thousands, rest = divmod(int(target), 1_000)
        after_hundred = sum(group >= 100 and group % 100 > 0 for group in (thousands, rest))
        after_thousand = bool(thousands) and 0 < rest < 100

        assert source.count(" and ") == after_hundred + after_thousand
        assert source.count("thousand and ") == after_thousand


def test_roman_numerals_have_the_value_of_their_digits():
    values = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}

    for source, target in all_pairs("roman-numerals"):
        digits = [values[letter] for letter in target]
        signs = [-1 if one < following else 1 for one, following in zip(digits, [*digits[1:], 0], strict=True)]
        assert sum(sign * digit for sign, digit in zip(signs, digits, strict=True)) == int(source)
        assert NUMERAL.fullmatch(target)


def balanced(brackets: str) -> bool:
    while brackets != (brackets := re.sub(r"\(\)|\[\]|\{\}", "", brackets)):
        pass
    return not brackets


def test_brackets_have_the_label_that_matching_them_gives():
    for source, target in all_pairs("bracket-matching"):
        assert target == ("balanced" if balanced(source) else "unbalanced")
        assert set(source) <= set("()[]{}")


def test_unbalanced_brackets_are_one_change_away_from_balanced_ones():
    unbalanced = [source for source, label in pairs("bracket-matching", "test") if label == "unbalanced"]
    for source in [source for source in unbalanced if len(source) <= 10][:30]:
        places = range(len(source))
        replaced = (source[:at] + new + source[at + 1 :] for at in places for new in "()[]{}")
        swapped = (source[:i] + source[j] + source[i + 1 : j] + source[i] + source[j + 1 :]
                   for i, j in itertools.combinations(places, 2))  # fmt: skip

        assert any(map(balanced, itertools.chain(replaced, swapped)))


def test_counting_brackets_does_not_recognize_half_of_the_unbalanced_ones():
    unbalanced = [source for source, label in pairs("bracket-matching", "train") if label == "unbalanced"]

    counts = [Counter(source) for source in unbalanced]

    matched = sum(all(count[opening] == count[closing] for opening, closing in ("()", "[]", "{}")) for count in counts)
    assert matched / len(unbalanced) == pytest.approx(0.5, abs=0.05)


def test_balanced_shapes_are_equally_probable():
    shapes = Counter()
    for source, label in generate_pairs("bracket-matching", "train", 2_000, 0, (4, 4)):
        if label == "balanced":
            shapes[re.sub(r"[)\]}]", ")", re.sub(r"[(\[{]", "(", source))] += 1
            if shapes.total() == 560:  # half of them, so that those drawn already are not missing
                break

    assert len(shapes) == 14
    assert all(count == pytest.approx(40, abs=20) for count in shapes.values())


def test_parity_is_that_of_the_ones():
    for source, target in all_pairs("parity"):
        assert target == ("odd" if sum(map(int, source)) % 2 else "even")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bracket-matching", "parity"])
def test_labels_are_equally_frequent_in_every_part(name):
    for part in CATALOG[name].reader.parts:
        counts = Counter(label for _, label in pairs(name, part))

        assert counts.keys() == set(PAIR_SOURCES[name].labels)
        assert max(counts.values()) < 0.55 * counts.total()


def test_toy_grammar_sentences_have_one_reading():
    choices: dict[str, list[str]] = {}
    for tag, words in WORDS.items():
        for word in words:
            choices.setdefault(word, []).append(tag)

    for source, target in pairs("toy-grammar", "test")[:200]:
        readings = map(" ".join, itertools.product(*(choices[word] for word in source.split(" "))))

        assert list(filter(SENTENCE.fullmatch, readings)) == [target]


def test_toy_grammar_has_four_words_whose_tag_depends_on_their_neighbors():
    tags = Counter(
        tagged
        for source, target in pairs("toy-grammar", "train")
        for tagged in zip(source.split(), target.split(), strict=True)
    )
    frequencies = {word: [tags[word, tag] for tag in WORDS if tags[word, tag]] for word, _ in tags}

    assert {word for word, counts in frequencies.items() if len(counts) > 1} == {"can", "fish", "her", "light"}
    most_frequent = sum(map(max, frequencies.values())) / tags.total()
    assert 0.8 < most_frequent < 0.95


@pytest.mark.parametrize(("part", "clauses"), [("train", {1, 2}), ("longer", {3, 4})])
def test_toy_grammar_has_the_number_of_clauses_of_its_part(part, clauses):
    assert {1 + target.count("CCONJ") for _, target in pairs("toy-grammar", part)} == clauses


@pytest.mark.slow
@pytest.mark.parametrize("name", CATALOG)
def test_no_source_occurs_twice_and_no_target_of_another_part_in_training(name):
    parts = {part: pairs(name, part) for part in CATALOG[name].reader.parts}
    keys = {
        part: {pair.target if CATALOG[name].task == "translate" else pair.source for pair in found}
        for part, found in parts.items()
    }

    assert all(len({pair.source for pair in found}) == len(found) for found in parts.values())
    assert not keys["train"] & keys["valid"]
    for part in keys.keys() - {"train", "valid"}:
        assert not keys[part] & (keys["train"] | keys["valid"])


def test_another_seed_withholds_other_pairs():
    found = {pair for seed in (0, 1) for pair in generate_pairs("roman-numerals", "test", 300, seed)}

    assert len(found) > 500


def test_more_pairs_than_there_are_is_an_error():
    found = []

    with pytest.raises(ConfigError, match=r"only 8 .* train, not 15"):
        found.extend(generate_pairs("parity", "train", 15, 0, (1, 3)))

    assert len(set(found)) == 8


def test_generated_pairs_never_change():
    texts = "".join("\t".join(pair) for name in sorted(CATALOG) for pair in pairs(name, "valid")[:100])

    assert hashlib.sha256(texts.encode()).hexdigest()[:16] == "50ade48940907d4b"


@pytest.mark.parametrize("name", CATALOG)
def test_all_text_but_korean_dates_is_ascii(name):
    assert {c for pair in pairs(name, "valid") for c in "".join(pair) if not c.isascii()} <= set("년월일")
