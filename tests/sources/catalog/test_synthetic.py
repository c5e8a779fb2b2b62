"""Synthetic texts have the entropy that is derived for them, and no model needs fewer bits."""

from __future__ import annotations

import hashlib
import math

import pytest

import seqgen
from seqgen.sources.catalog.corpus import find_spec
from seqgen.sources.catalog.synthetic import CLOSING, OPENS_INSIDE, OPENS_OUTSIDE, SOURCES, generate

ENTROPIES = {"arithmetic": 1.43040, "brackets": 1.68811, "copy": 4 / 3, "dates": 0.70257, "hello": 0.0,
             "recall": 0.34874}  # fmt: skip


def bits(name: str, text: str) -> float:
    return sum(map(SOURCES[name].bits, text.splitlines(keepends=True)))


def test_entropies_have_their_derived_values():
    assert {name: source.entropy() for name, source in SOURCES.items()} == pytest.approx(ENTROPIES, abs=1e-5)


@pytest.mark.parametrize("name", SOURCES)
def test_bits_of_a_long_text_are_its_entropy(name):
    text = generate(name, 400_000, "a test")
    entropy = SOURCES[name].entropy()

    tolerance = 0.01 if name == "recall" else 0.005  # its records have very different lengths
    assert bits(name, text) / len(text) == pytest.approx(entropy, rel=tolerance)
    assert len(text) >= 400_000
    assert text.isascii()
    assert text.endswith("\n")


@pytest.mark.parametrize("name", ["brackets", "copy", "hello"])
def test_probabilities_of_records_sum_to_at_most_one(name):
    records = set(generate(name, 200_000, "more").splitlines(keepends=True))

    assert 0.0 < sum(2.0 ** -SOURCES[name].bits(record) for record in records) <= 1.0 + 1e-9


def test_brackets_open_with_the_stated_probabilities():
    text = generate("brackets", 400_000, "count")
    depth, opened, chances = 0, {True: 0, False: 0}, {True: 0, False: 0}
    for character in text:
        inside = depth > 0
        chances[inside] += 1
        opened[inside] += character in CLOSING
        depth += 1 if character in CLOSING else -1 if character != "\n" else 0

    assert opened[True] / chances[True] == pytest.approx(OPENS_INSIDE, abs=0.005)
    assert opened[False] / chances[False] == pytest.approx(OPENS_OUTSIDE, abs=0.005)


@pytest.mark.parametrize(
    ("name", "record", "cost"),
    [
        ("brackets", "\n", -math.log2(0.25)),
        ("brackets", "()\n", -math.log2(0.25 * 0.6 * 0.25)),
        ("brackets", "[{}]\n", -math.log2(0.25 * (0.4 / 3) * 0.6 * 0.6 * 0.25)),
        ("brackets", "(]\n", math.inf),
        ("brackets", "(\n", math.inf),
        ("brackets", ")\n", math.inf),
        ("brackets", "()", math.inf),
        ("brackets", "\n\n", math.inf),
        ("arithmetic", "99+1=100\n", 2 * math.log2(100)),
        ("arithmetic", "99+1=101\n", math.inf),
        ("arithmetic", "099+1=100\n", math.inf),
        ("arithmetic", "100+1=101\n", math.inf),
        ("arithmetic", "\n", math.inf),
        ("copy", "aaaabbbb|aaaabbbb\n", 24.0),
        ("copy", "aaaabbbb|aaaabbbc\n", math.inf),
        ("copy", "aaaa|aaaa\n", math.inf),
        ("copy", "zzzzzzzz|zzzzzzzz\n", math.inf),
        ("dates", "Saturday 21 November 2026\n", math.log2(73_049)),
        ("dates", "Sunday 21 November 2026\n", math.inf),
        ("dates", "Monday 30 February 2026\n", math.inf),
        ("dates", "Monday 1 January 1890\n", math.inf),
        ("dates", "\n", math.inf),
        ("hello", "hello\n", 0.0),
        ("hello", "hallo\n", math.inf),
        ("recall", "cab|cab\n", 9 + math.log2(7)),
        ("recall", "cab....|cab\n", 9 + math.log2(7)),
        ("recall", "cab...|cab\n", math.inf),
        ("recall", "cab....|cad\n", math.inf),
        ("recall", "zab|zab\n", math.inf),
        ("recall", "\n", math.inf),
    ],
)
def test_bits_of_a_record_are_its_negative_log_probability(name, record, cost):
    assert SOURCES[name].bits(record) == pytest.approx(cost)


@pytest.mark.parametrize(("characters", "records"), [(1, 1), (6, 1), (7, 2)])
def test_generate_returns_the_fewest_records_that_suffice(characters, records):
    assert generate("hello", characters, "0") == records * "hello\n"


def test_generate_depends_on_the_seed_alone():
    assert generate("dates", 5_000, "a") == generate("dates", 5_000, "a") != generate("dates", 5_000, "b")


def test_generated_texts_never_change():
    texts = "".join(generate(name, 2_000, "0") for name in SOURCES)

    assert hashlib.sha256(texts.encode()).hexdigest()[:16] == "239ddd1fab395076"


@pytest.mark.slow
def test_a_small_model_comes_close_to_the_entropy_and_not_below_it(in_tmp):
    size = {"cell": "lstm", "hidden_size": 48, "batch_size": 16, "bptt": 32}
    pace = {"lr": 0.02, "max_steps": 300, "eval_every": 300, "precision": "fp32"}
    run = seqgen.train("corpus:brackets:valid", out="run", **size, **pace).run()

    measured = run.evaluate("corpus:brackets:test").bits_per_byte

    truth = find_spec("brackets").results_on("test")[0].value
    order0 = 2.7  # what the frequencies of the seven characters alone would need
    assert 0.995 * truth < measured < 1.1 * truth < order0
