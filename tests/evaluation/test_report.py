from __future__ import annotations

import lzma
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqgen.evaluation import report
from seqgen.evaluation.adaptation.config import AdaptationConstants
from seqgen.evaluation.report import (
    Context,
    DynamicEvaluation,
    Evaluation,
    TextSize,
    combine,
    order0_bits_per_byte,
    xz_bits_per_byte,
)
from seqgen.tokenizers.base import UNICODE_SCALARS
from seqgen.tokenizers.byte import ByteTokenizer
from seqgen.tokenizers.char import CharTokenizer
from seqgen.tokenizers.word import WordTokenizer

LN2 = math.log(2)
STREAM = Context(kind="stream", segments=1)
ENGLISH = "It was the best of times, it was the worst of times.\n" * 40
HANGUL = "나는 오늘 학교에 간다.\n" * 40


def test_evaluation_figures_by_hand():
    """Four tokens of 8 bits in total encode two characters of six bytes."""
    evaluation = Evaluation(4, TextSize(characters=2, bytes=6, unknown=0, unk_cost=0.0), 8 * LN2, 0, STREAM)

    assert evaluation.nats_per_token == pytest.approx(2 * LN2)
    assert evaluation.perplexity == pytest.approx(4.0)
    assert evaluation.bits_per_byte == pytest.approx(8 / 6)
    assert evaluation.bits_per_character == pytest.approx(4.0)


def test_unk_cost_counts_in_bits_per_byte_and_not_in_perplexity():
    evaluation = Evaluation(4, TextSize(characters=4, bytes=8, unknown=1, unk_cost=16 * LN2), 8 * LN2, 0, STREAM)

    assert evaluation.perplexity == pytest.approx(4.0)
    assert evaluation.bits_per_byte == pytest.approx(3.0)
    assert evaluation.bits_per_character == pytest.approx(6.0)
    assert evaluation.unknown_share == 0.25


def test_uniform_byte_model_has_log2_257_bits_per_byte():
    text = "한a🙂"
    tokenizer = ByteTokenizer()
    ids = tokenizer.encode(text)

    size = TextSize.total([text], tokenizer)
    evaluation = Evaluation(len(ids), size, len(ids) * math.log(tokenizer.vocab_size), 0, STREAM)

    assert size == TextSize(characters=3, bytes=8, unknown=0, unk_cost=0.0)
    assert evaluation.bits_per_byte == pytest.approx(math.log2(257))
    assert evaluation.bits_per_character == pytest.approx(math.log2(257) * 8 / 3)


@pytest.mark.parametrize(("nats_per_token", "perplexity"), [(0.0, 1.0), (699.0, math.exp(699)), (1e6, math.inf)])
def test_perplexity_is_infinite_above_the_range_of_a_float(nats_per_token, perplexity):
    size = TextSize(2, 2, 0, 0.0)

    assert Evaluation(2, size, 2 * nats_per_token, 0, STREAM).perplexity == perplexity


def test_unknown_character_costs_the_log_of_all_other_characters():
    tokenizer = CharTokenizer("ab")

    size = TextSize.total(["abxa", "한x"], tokenizer)

    assert (size.characters, size.bytes, size.unknown) == (6, 8, 3)
    assert size.unk_cost == pytest.approx(3 * math.log(UNICODE_SCALARS - 2))


def test_unknown_word_costs_its_bytes_and_an_end_mark():
    tokenizer = WordTokenizer([" ", "the"])

    size = TextSize.total(["the sea the sea 한"], tokenizer)

    assert (size.characters, size.bytes, size.unknown) == (17, 19, 3)
    assert size.unk_cost == pytest.approx(4 * math.log(257) * 3)


def test_text_size_is_measured_before_normalization():
    nfc, nfd = "각 é", "\u1100\u1161\u11a8 e\u0301"
    tokenizer = CharTokenizer(sorted("\u1100\u1161\u11a8 "), "nfd")  # e and its accent are unknown

    assert TextSize.total([nfc], tokenizer) == TextSize(3, 6, 2, pytest.approx(2 * math.log(UNICODE_SCALARS - 4)))
    size = TextSize.total([nfd, nfc], tokenizer)

    assert (size.characters, size.bytes, size.unknown, size.changed) == (6 + 3, 13 + 6, 4, 5)
    assert TextSize.total([nfd], CharTokenizer("e")).changed == 0


def test_lone_surrogate_counts_as_its_replacement():
    text = "a\ud800"

    assert TextSize.total([text], ByteTokenizer()).bytes == 4
    assert order0_bits_per_byte(text) == pytest.approx(2 / 4)
    assert xz_bits_per_byte(text) == xz_bits_per_byte("a\ufffd")


def test_combine_adds_up_evaluations():
    windows = Context(kind="windows", segments=2, window=8, stride=4)
    one = Evaluation(3, TextSize(5, 7, 1, 0.5, 2), 2.5, 1, windows)
    other = Evaluation(1, TextSize(1, 3, 0, 0.0), 1.5, 2, replace(windows, segments=5))

    both = combine([one, other])

    assert both == Evaluation(4, TextSize(6, 10, 1, 0.5, 2), 4.0, 3, replace(windows, segments=7))
    assert both.nats_per_token == 1.0
    assert both.bits_per_byte == pytest.approx(4.5 / LN2 / 10)


def test_combine_counts_diverged_tokens_from_the_first_text():
    settings = {"what": "all", "cache": False, "weights": {}, "reset": False, "constants": AdaptationConstants()}
    texts = [(10, 7.0, {"a": 4}), (20, 5.0, {"b": 3}), (5, 1.0, {"c": 2})]
    evaluations = []
    for tokens, nats, diverged in texts:
        size = TextSize(tokens, tokens, 0, 0.0)
        parts, members = {"all": nats / 2}, {"a": (nats, nats / 2)}
        dynamic = DynamicEvaluation(tokens, size, nats / 2, parts=parts, members=members, diverged=diverged, **settings)
        evaluations.append(Evaluation(tokens, size, nats, 0, STREAM, dynamic))

    both = combine(evaluations).dynamic

    assert both is not None
    assert both.diverged == {"a": 4, "b": 13, "c": 32}
    assert (both.tokens, both.nats, both.parts, both.members) == (35, 6.5, {"all": 6.5}, {"a": (13.0, 6.5)})
    assert both.size == TextSize(35, 35, 0, 0.0)


def test_contexts_add_up_unless_the_settings_differ():
    whole, cut = Context(kind="stream", segments=3), Context(kind="stream", segments=64, burn_in=256)
    windows = Context(kind="windows", segments=1, window=8, stride=4)

    assert whole.plus(cut) == cut.plus(whole) == Context(kind="stream", segments=67, burn_in=256)
    for other in (whole, replace(windows, stride=8), replace(windows, window=9)):
        with pytest.raises(ValueError, match="different contexts"):
            windows.plus(other)


@settings(max_examples=50)
@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), min_size=1, max_size=4))
def test_text_size_of_texts_is_the_sum_of_their_sizes(texts):
    tokenizer = CharTokenizer("abc ")
    parts = [Evaluation(0, TextSize.total([text], tokenizer), 0.0, 0, STREAM) for text in texts]

    assert combine(parts).size == TextSize.total(texts, tokenizer)


@pytest.mark.parametrize("text", ["a", ENGLISH, HANGUL, "".join(map(chr, range(32, 9000)))])
def test_xz_bits_per_byte_equals_xz_9(text):
    content = text.encode()

    assert xz_bits_per_byte(text) == 8 * len(lzma.compress(content, preset=9)) / len(content)


def test_xz_bits_per_byte_is_none_above_the_limit(monkeypatch):
    monkeypatch.setattr(report, "XZ_LIMIT", 6)

    content = "가나".encode()
    assert xz_bits_per_byte("가나") == 8 * len(lzma.compress(content, preset=9)) / 6
    assert xz_bits_per_byte("가나a") is None


def test_xz_bits_per_byte_is_none_above_64_mib():
    assert xz_bits_per_byte("a" * (64 * 2**20 + 1)) is None


@pytest.mark.parametrize(
    ("text", "bits_per_byte"),
    [
        ("ab", 1.0),
        ("aabc", 1.5),
        ("가나", 1 / 3),  # two equally likely characters, one bit each, over six bytes
        ("가가가나", (3 * math.log2(4 / 3) + 2) / 12),
    ],
)
def test_order0_bits_per_byte_by_hand(text, bits_per_byte):
    assert order0_bits_per_byte(text) == pytest.approx(bits_per_byte)


def test_order0_bits_per_byte_of_one_repeated_character_is_zero():
    assert str(order0_bits_per_byte("aaaa")) == "0.0"  # not -0.0
