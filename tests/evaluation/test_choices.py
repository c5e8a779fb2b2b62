"""Choices against the product of probabilities by hand, for every family and kind of tokenizer."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from seqgen import models
from seqgen.errors import ConfigError, TextError
from seqgen.evaluation.choices import compare_choices
from seqgen.models.config import TransformerConfig
from seqgen.tokenizers import build
from seqgen.tokenizers.byte import ByteTokenizer
from seqgen.tokenizers.char import CharTokenizer
from seqgen.tokenizers.config import TokenizerConfig
from seqgen.tokenizers.word import WordTokenizer

from ..conftest import build_model

CHARACTERS = CharTokenizer(sorted("\n .abcdef"))
CONTINUING = [CHARACTERS.unknown_id, *(2 + place for place, one in enumerate(CHARACTERS.characters) if one.isalpha())]


def log_probs_after(model, ids):
    """Return ln p of every token after each of 0 and `ids`, [N + 1, V]."""
    tokens = torch.tensor([[0, *ids]])
    with torch.no_grad():
        found, _ = model.log_probs(tokens, model.initial_state(1, 40), tokens == 0)
    return found[0].double().numpy()


def test_nats_are_those_of_the_tokens_and_of_a_word_end(model):
    prompt, choices = "bad fad", ["a", "cab", "fed."]

    found = compare_choices(model, CHARACTERS, prompt, choices)

    for choice, one in zip(choices, found, strict=True):
        ids = CHARACTERS.encode(f"{prompt} {choice}").tolist()
        log_probs = log_probs_after(model, ids)
        costs = [-log_probs[place, token] for place, token in enumerate(ids)]
        last = np.exp(log_probs[-1])
        word_end = 1 - last[CONTINUING].sum()
        expected = 0.0 if choice.endswith(".") else -math.log(word_end)
        assert one.token_nats == pytest.approx(math.fsum(costs[len(prompt) :]), rel=1e-4)
        assert one.end_nats == pytest.approx(expected, rel=1e-3, abs=1e-6)
        assert (one.text, one.continuation, one.tokens) == (choice, f" {choice}", len(choice) + 1)
        assert one.nats == one.token_nats + one.end_nats
        assert one.nats_per_token == one.token_nats / one.tokens
    assert [one.share for one in found] == pytest.approx(
        [math.exp(-one.nats) / math.fsum(math.exp(-other.nats) for other in found) for one in found]
    )


def test_words_up_to_a_length_and_longer_ones_have_the_probability_of_their_beginning():
    """The word end makes words exclusive: no word contains the probability of a longer one."""
    model = build_model("gru")
    letters = [one for one in CHARACTERS.characters if one.isalpha()]
    words = [*letters, *(first + second for first in letters for second in letters)]

    found = compare_choices(model, CHARACTERS, "bad ", words)

    ended = math.fsum(math.exp(-one.nats) for one in found)
    longer = math.fsum(math.exp(-one.token_nats) * -math.expm1(-one.end_nats) for one in found if len(one.text) == 2)
    unknown = math.fsum(  # a letter, then an unknown character
        math.exp(-one.token_nats + log_probs_after(model, CHARACTERS.encode(f"bad {one.text}").tolist())[-1, 1])
        for one in found
        if len(one.text) == 1
    )
    first = np.exp(log_probs_after(model, CHARACTERS.encode("bad ").tolist())[-1])
    assert ended + longer + unknown == pytest.approx(first[CONTINUING[1:]].sum(), rel=1e-4)


@pytest.mark.parametrize(
    ("prompt", "choice", "space", "continuation"),
    [("ab", "c", True, " c"), ("ab ", "c", True, "c"), ("ab\n", "c", True, "c"), ("", "c", True, "c"),
     ("ab", " c", True, " c"), ("ab", "c", False, "c")],
)  # fmt: skip
def test_a_space_is_added_where_prompt_and_choice_have_none(prompt, choice, space, continuation):
    (found,) = compare_choices(build_model("gru"), CHARACTERS, prompt, [choice], space=space)

    assert (found.continuation, found.tokens, found.share) == (continuation, len(continuation), 1.0)


def test_word_end_of_a_word_tokenizer_costs_nothing():
    tokenizer = WordTokenizer([" ", "the", "cab", "bad"])
    model = build_model("gru", vocab_size=tokenizer.vocab_size)

    known, unknown = compare_choices(model, tokenizer, "the", ["cab", "zebra"])

    assert (known.end_nats, unknown.end_nats) == pytest.approx((0.0, 0.0), abs=1e-6)
    assert (known.tokens, unknown.tokens) == (2, 2)
    ids = tokenizer.encode("the zebra").tolist()
    log_probs = log_probs_after(model, ids)
    expected = -log_probs[1, ids[1]] - log_probs[2, ids[2]] + tokenizer.unk_cost("zebra")
    assert unknown.token_nats == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("raw", [False, True])
def test_byte_of_another_character_continues_the_word(raw):
    tokenizer = ByteTokenizer(raw=raw)
    model = build_model("gru", vocab_size=tokenizer.vocab_size)
    word = "책".encode().decode(tokenizer.text_encoding)

    (found,) = compare_choices(model, tokenizer, word, [word])

    last = np.exp(log_probs_after(model, [byte + 1 for byte in "책 책".encode()])[-1])
    word_end = last[0] + sum(last[byte + 1] for byte in range(128) if not (chr(byte).isalnum() or byte == ord("_")))
    assert found.tokens == 4
    assert found.end_nats == pytest.approx(-math.log(word_end), rel=1e-4)


def test_choices_are_compared_from_their_first_different_token():
    """The piece of a choice begins in the prompt: its space, or letters of the same word."""
    text = "the students opened their books. the student opened the laptop.\n" * 30
    tokenizer = build([text], TokenizerConfig(kind="bpe", vocab_size=320))
    model = build_model("gru", vocab_size=tokenizer.vocab_size)
    prompt = "the students opened "

    found = compare_choices(model, tokenizer, prompt, ["their", "zz"])

    ids = [tokenizer.encode(prompt + one).tolist() for one in ("their", "zz")]
    shared = next(place for place, (one, other) in enumerate(zip(*ids, strict=False)) if one != other)
    assert [tokenizer.decode(one[:shared]) for one in ids] == ["the students opened"] * 2
    for one, own in zip(found, ids, strict=True):
        log_probs = log_probs_after(model, own)
        expected = -math.fsum(log_probs[place, own[place]] for place in range(shared, len(own)))
        assert one.tokens == len(own) - shared
        assert one.token_nats == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("choices", [[], [""], ["a", " "], ["a", "b", "a"], ["b", "a", " b"]])
def test_no_choice_empty_and_equal_choices_are_refused(choices):
    with pytest.raises(ConfigError, match=r"^choices: "):
        compare_choices(build_model("gru"), CHARACTERS, "a", choices)


def test_choices_that_differ_by_a_space_are_compared_where_none_is_added():
    found = compare_choices(build_model("gru"), CHARACTERS, "a", ["b", " b"], space=False)

    assert [one.continuation for one in found] == ["b", " b"]


def test_prompt_beyond_the_positions_is_refused():
    limited = models.build(TransformerConfig(block_size=8, positions="sinusoidal"), CHARACTERS.vocab_size).eval()

    compare_choices(limited, CHARACTERS, "aaaa", ["ab"])  # 0 and 7 characters
    with pytest.raises(TextError, match=r"^prompt: .*9 .*8"):
        compare_choices(limited, CHARACTERS, "aaaaa", ["ab"])
