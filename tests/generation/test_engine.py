"""The engine: what rows generate, and that they do not depend on each other."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from seqgen import models
from seqgen.errors import ConfigError, RunError
from seqgen.generation.config import SamplingConfig
from seqgen.generation.engine import Engine, Request
from seqgen.generation.prompt import PREFILL
from seqgen.models.registry import TransformerConfig
from seqgen.tokenizers.base import BOUNDARY
from seqgen.tokenizers.byte import ByteTokenizer

from .running import cut, naive, run, steps_of, texts_of


@pytest.mark.parametrize("prompt", ["", "ab", "ab cd\nef " * 3])
def test_engine_samples_from_the_models_distribution(model, tokenizer, prompt):
    """With the longest prompt, prompt and text are several times as long as the transformer's block."""
    texts = texts_of(model, tokenizer, prompt, 3, temperature=1.0, max_new_tokens=12, seed=7)

    assert texts == [naive(model, tokenizer, prompt, count=12, seed=7, sample=sample) for sample in range(3)]
    assert len(set(texts)) == 3


@pytest.mark.parametrize("model", ["gru", "transformer-sinusoidal"], indirect=True)
def test_engine_reads_a_prompt_longer_than_one_call(model, tokenizer):
    if model.max_positions is not None:
        model = models.build(model.config.model_copy(update={"block_size": 2 * PREFILL}), model.vocab_size).eval()
    prompt = "".join(np.random.default_rng(0).choice(list("abcdefg \n"), PREFILL + 2))  # 3 in the second call

    texts = texts_of(model, tokenizer, prompt, temperature=1.0, max_new_tokens=4)

    assert texts == [naive(model, tokenizer, prompt, count=4)]


def test_engine_at_temperature_0_is_the_argmax_of_the_forward(model, tokenizer):
    (text,) = texts_of(model, tokenizer, "ab", temperature=0.0, max_new_tokens=20)

    ids = [BOUNDARY, *tokenizer.encode("ab" + text).tolist()]
    with torch.no_grad():
        logits, _ = model(read := torch.tensor([ids]), model.initial_state(1, len(ids)), read == 0)
    assert len(text) == 20
    assert logits[0, 2:-1, 2:].argmax(dim=-1).add(2).tolist() == ids[3:]


def test_engine_gives_the_same_sample_for_any_number_of_samples(model, tokenizer):
    texts = texts_of(model, tokenizer, "a", 5, max_new_tokens=30, temperature=1.0)

    for num_samples in (1, 2, 4):
        assert texts_of(model, tokenizer, "a", num_samples, max_new_tokens=30, temperature=1.0) == texts[:num_samples]


def test_engine_keeps_other_samples_when_one_stops(model, tokenizer):
    settings_ = {"num_samples": 6, "max_new_tokens": 40, "temperature": 2.0}
    whole = texts_of(model, tokenizer, "a", **settings_)

    steps = steps_of(model, tokenizer, "a", **settings_, stop=("g", "ab"))

    texts = ["".join(pieces) for pieces in zip(*steps, strict=True)]
    assert texts == [cut(text, ["g", "ab"]) for text in whole]
    assert len({len(text) for text in texts}) > 2  # they ended at different times
    assert {len(pieces) for pieces in steps} == {6}


def test_engine_depends_on_the_seed(model, tokenizer):
    texts = [texts_of(model, tokenizer, "a", max_new_tokens=30, temperature=1.0, seed=seed) for seed in (1, 1, 2)]

    assert texts[0] == texts[1] != texts[2]


def test_engine_neither_uses_nor_changes_torchs_random_state(model, tokenizer):
    texts = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        texts.append(texts_of(model, tokenizer, "a", max_new_tokens=10))
        assert torch.equal(torch.get_rng_state(), before)
    assert texts[0] == texts[1]


def test_engine_never_samples_boundary_or_unknown(scripted, tokenizer):
    model = scripted([5], tokenizer.vocab_size, always=[BOUNDARY, tokenizer.unknown_id])

    (text,) = texts_of(model, tokenizer, temperature=5.0, max_new_tokens=300)

    assert len(text) == 300
    assert "\ufffd" not in text
    assert len(set(text)) > 1


def test_engine_yields_whole_characters_one_token_per_step(scripted):
    tokenizer = ByteTokenizer()
    model = scripted(tokenizer.encode("é한🙂!").tolist(), tokenizer.vocab_size)

    steps = steps_of(model, tokenizer, max_new_tokens=10)

    assert steps == [[piece] for piece in ["", "é", "", "", "한", "", "", "", "🙂", "!"]]


def test_engine_flushes_held_text_in_the_last_step(scripted):
    tokenizer = ByteTokenizer()
    model = scripted(tokenizer.encode("ab\n한").tolist(), tokenizer.vocab_size)

    assert steps_of(model, tokenizer, max_new_tokens=3, stop=("\n\n",))[-1] == ["\n"]
    assert steps_of(model, tokenizer, max_new_tokens=5, stop=("\n\n",))[2:] == [[""], [""], ["\n\ufffd"]]


def test_engine_ends_with_its_last_sample(scripted, tokenizer):
    model = scripted(tokenizer.encode("abc abc").tolist(), tokenizer.vocab_size)

    assert steps_of(model, tokenizer, stop=("c",), max_new_tokens=50) == [["a"], ["b"], [""]]
    assert texts_of(model, tokenizer, stop=("c a", "x"), max_new_tokens=50) == ["ab"]


def test_engine_does_not_match_a_stop_in_the_prompt(scripted, tokenizer):
    model = scripted(tokenizer.encode("ab\nc").tolist(), tokenizer.vocab_size)

    assert texts_of(model, tokenizer, "a", stop=("ab",), max_new_tokens=3) == ["b\nc"]


def test_engine_reads_unknown_characters_of_the_prompt_as_unk(model, tokenizer):
    assert texts_of(model, tokenizer, "a한", max_new_tokens=9) == texts_of(model, tokenizer, "az", max_new_tokens=9)


def test_engine_runs_without_dropout_and_restores_training_mode(tokenizer):
    model = models.build(TransformerConfig(hidden_size=16, layers=1, heads=1, dropout=0.5), tokenizer.vocab_size)
    evaluated = texts_of(model.eval(), tokenizer, "abcd", temperature=0.0, max_new_tokens=10)
    engine = Engine(model.train(), model.stepper(), tokenizer)
    engine.add(Request("abcd", SamplingConfig(temperature=0.0)))

    (first,) = engine.step()

    assert model.training
    assert torch.is_grad_enabled()  # restored between two steps
    assert evaluated[0].startswith(first.text)


SINUSOIDAL = TransformerConfig(hidden_size=16, layers=1, heads=1, block_size=16, positions="sinusoidal")


def test_engine_uses_all_sinusoidal_positions(tokenizer):
    model = models.build(SINUSOIDAL, tokenizer.vocab_size).eval()

    assert [len(text) for text in texts_of(model, tokenizer, "abcdef", max_new_tokens=10)] == [10]


def test_engine_refuses_more_tokens_than_sinusoidal_positions(tokenizer):
    model = models.build(SINUSOIDAL, tokenizer.vocab_size).eval()

    with pytest.raises(ConfigError, match=r"^max_new_tokens: 11 .* prompt of 6 .* 16 .* at most 10"):
        steps_of(model, tokenizer, "abcdef", max_new_tokens=11)


@pytest.mark.parametrize("length", [16, 40])
def test_engine_refuses_a_prompt_that_fills_sinusoidal_positions(tokenizer, length):
    model = models.build(SINUSOIDAL, tokenizer.vocab_size).eval()

    with pytest.raises(ConfigError, match=f"^prompt: its {length} tokens .* 16 sinusoidal positions; .* at most 15"):
        steps_of(model, tokenizer, "a" * length, max_new_tokens=1)


@pytest.mark.parametrize(("prompt", "made"), [("", 16), ("abcdef", 10), ("a" * 15, 1)])
def test_engine_without_a_length_ends_with_the_positions(tokenizer, prompt, made):
    model = models.build(SINUSOIDAL, tokenizer.vocab_size).eval()

    assert len(steps_of(model, tokenizer, prompt)) == made


@pytest.mark.parametrize(("new", "begins_a_line"), [(15, True), (16, False)])
def test_engine_omits_the_line_end_where_new_tokens_need_its_position(tokenizer, new, begins_a_line):
    model = models.build(SINUSOIDAL, tokenizer.vocab_size).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4)  # so that the prompt makes a difference

    def text(line_end):
        engine = Engine(model, model.stepper(), tokenizer, line_end=line_end)
        return run(engine, engine.add(Request(config=SamplingConfig(max_new_tokens=new, seed=3))))

    assert len(text("a")) == new
    assert (text("a") == text("")) is not begins_a_line
    with pytest.raises(ConfigError, match="at most 16"):
        Engine(model, model.stepper(), tokenizer, line_end="a").add(Request(config=SamplingConfig(max_new_tokens=17)))


def test_add_checks_positions(tokenizer):
    model = models.build(SINUSOIDAL, tokenizer.vocab_size).eval()

    with pytest.raises(ConfigError, match="sinusoidal positions"):
        Engine(model, model.stepper(), tokenizer).add(Request("abcdef", SamplingConfig(max_new_tokens=11)))


def test_engine_refuses_weights_with_nan(model, tokenizer):
    with torch.no_grad():
        model.embedding.weight.fill_(math.nan)

    with pytest.raises(RunError, match="NaN or infinity"):
        texts_of(model, tokenizer, "ab", max_new_tokens=3)
