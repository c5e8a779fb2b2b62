"""Streaming one text, and completing many in order."""

from __future__ import annotations

import pytest

from seqgen.errors import ConfigError
from seqgen.generation.config import SamplingConfig
from seqgen.generation.engine import Engine, Request
from seqgen.generation.generate import PromptError, complete, separator, stream
from seqgen.tokenizers.base import BOUNDARY

from .running import texts_of


def engine_of(model, tokenizer, **options):
    return Engine(model, model.stepper(), tokenizer, **options)


@pytest.mark.parametrize("model", ["gru"], indirect=True)
def test_stream_yields_the_pieces_of_a_text(model, tokenizer):
    engine = engine_of(model, tokenizer)

    pieces = list(stream(engine, Request("ab", SamplingConfig(max_new_tokens=7))))

    assert len(pieces) == 7
    assert ["".join(pieces)] == texts_of(model, tokenizer, "ab", max_new_tokens=7)
    assert len(engine) == 0


@pytest.mark.parametrize("model", ["gru"], indirect=True)
def test_stream_that_is_closed_cancels_its_row(model, tokenizer):
    engine = engine_of(model, tokenizer)
    pieces = stream(engine, Request("ab"))
    next(pieces)

    pieces.close()

    assert len(engine) == 0


@pytest.mark.parametrize("model", ["gru"], indirect=True)
def test_stream_and_complete_refuse_an_engine_with_other_rows(model, tokenizer):
    engine, config = engine_of(model, tokenizer), SamplingConfig(max_new_tokens=2)
    other = engine.add(Request("b", config))

    for generate in (lambda: stream(engine, Request("a")), lambda: complete(engine, ["a"], config)):
        with pytest.raises(ConfigError, match=r"^engine: .* other rows"):
            generate()

    assert [event.row for _ in range(2) for event in engine.step()] == [other, other]
    for generate in (lambda: stream(engine, Request("a", config)), lambda: complete(engine, ["a"], config)):
        made = generate()
        other = engine.add(Request("b", config))
        with pytest.raises(ConfigError, match=r"^engine: .* other rows"):
            list(made)
        engine.cancel(other)
    assert len(engine) == 0


@pytest.mark.parametrize("model", ["gru"], indirect=True)
def test_complete_that_is_closed_cancels_its_rows(model, tokenizer):
    engine = engine_of(model, tokenizer)
    made = complete(engine, ["a"], SamplingConfig(max_new_tokens=30, temperature=1.0, stop=("g",), seed=4), 9)
    next(made)
    assert len(engine) > 0  # some have not ended

    made.close()

    assert len(engine) == 0


@pytest.mark.parametrize("model", ["gru"], indirect=True)
def test_complete_yields_every_sample_of_every_prompt_in_order(model, tokenizer):
    config = SamplingConfig(max_new_tokens=30, temperature=1.0, stop=("g",), seed=4)

    made = list(complete(engine_of(model, tokenizer), ["a", "", "bc"], config, 2))

    assert [(one.prompt, one.sample, one.seed) for one in made] == [
        ("a", 0, 4), ("a", 1, 4), ("", 2, 4), ("", 3, 4), ("bc", 4, 4), ("bc", 5, 4)
    ]  # fmt: skip
    for one in made:
        (alone,) = complete(engine_of(model, tokenizer), [one.prompt], config, first=one.sample)
        assert alone == one
    assert {one.finish_reason for one in made} == {"stop", "length"}
    assert all((one.tokens == 30) == (one.finish_reason == "length") for one in made)


def test_complete_counts_the_end_of_a_document_as_a_token(scripted, tokenizer):
    model = scripted([*tokenizer.encode("ab").tolist(), BOUNDARY], tokenizer.vocab_size)

    (made,) = complete(engine_of(model, tokenizer, ends=True), [""], SamplingConfig())

    assert (made.text, made.finish_reason, made.tokens) == ("ab", "stop", 3)


@pytest.mark.parametrize("model", ["transformer-sinusoidal"], indirect=True)
def test_complete_checks_all_prompts_when_called(model, tokenizer):
    engine = engine_of(model, tokenizer)

    with pytest.raises(PromptError, match="at most 4") as raised:
        complete(engine, ["a", "a" * 60], SamplingConfig(max_new_tokens=5))

    assert raised.value.number == 1
    assert len(engine) == 0


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["Anna", "Ida", ""], "\n"),
        (["Anna\nIda", "Greta"], "\n\n"),
        (["Anna\n\nIda"], None), (["Anna\r\n \r\nIda"], None), (["Anna\n"], None), (["\nAnna"], None),
    ],
)  # fmt: skip
def test_separator_is_what_no_text_contains(texts, expected):
    assert separator(texts) == expected
