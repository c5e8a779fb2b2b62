from __future__ import annotations

import math
import unicodedata
from itertools import accumulate

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from seqgen import models
from seqgen.errors import ConfigError, RunError
from seqgen.generation.config import SamplingConfig
from seqgen.generation.generate import TextStream, generate, sample
from seqgen.generation.prompt import PREFILL
from seqgen.models.base import LanguageModel
from seqgen.models.registry import TransformerConfig
from seqgen.tokenizers.base import BOUNDARY, Tokenizer
from seqgen.tokenizers.byte import ByteTokenizer
from seqgen.tokenizers.char import CharTokenizer
from seqgen.tokenizers.word import WordTokenizer

JUST_BELOW_1 = math.nextafter(1.0, 0.0)
JAMO = CharTokenizer(sorted("\u1100\u1102\u1161\u11abㅋe\u0301"), "nfd")
PIECES = WordTokenizer(["a", "b", "c", "ab", "bc", "abc", "cab", "한", "글"])  # one text has many encodings


def uniforms(*values: float) -> np.ndarray:
    return np.array(values)


def steps_of(model: LanguageModel, tokenizer: Tokenizer, prompt: str = "", num_samples: int = 1, **sampling):
    config = SamplingConfig.of(**sampling)
    return list(generate(model, model.stepper(), tokenizer, prompt, config, num_samples))


def texts_of(model: LanguageModel, tokenizer: Tokenizer, prompt: str = "", num_samples: int = 1, **sampling):
    steps = steps_of(model, tokenizer, prompt, num_samples, **sampling)
    return ["".join(pieces) for pieces in zip(*steps, strict=True)]


def naive(
    model: LanguageModel, tokenizer: Tokenizer, prompt: str, *, count: int, seed: int = 0, sample: int = 0
) -> str:
    """Sample at temperature 1, each token from the plain forward over everything before it."""
    random = np.random.default_rng([seed, sample])
    ids = [BOUNDARY, *tokenizer.encode(prompt).tolist()]
    start = len(ids)
    for _ in range(count):
        with torch.no_grad():
            logits, _ = model(read := torch.tensor([ids]), model.initial_state(1, len(ids)), read == 0)
        weights = logits[0, -1].double().exp().tolist()
        for token in (BOUNDARY, tokenizer.unknown_id):
            weights[token] = 0.0
        heights, uniform = list(accumulate(weights)), random.random()
        ids.append(next(token for token, height in enumerate(heights) if height > uniform * heights[-1]))
    return tokenizer.decode(ids[start:])


# sample


def test_sample_inverts_the_distribution_in_exact_proportions():
    logits = torch.tensor([[0.5, 0.0, 0.125, 0.375]]).log()
    grid = (np.arange(1000) + 0.5) / 1000

    tokens = sample(logits.expand(1000, 4), grid)

    assert tokens.dtype == np.int64
    assert tokens.tolist() == [0] * 500 + [2] * 125 + [3] * 375


@pytest.mark.parametrize(("uniform", "token"), [(0.0, 1), (0.4999, 1), (0.5001, 3), (JUST_BELOW_1, 3)])
def test_sample_at_the_ends_of_the_unit_interval_gives_possible_tokens(uniform, token):
    logits = torch.tensor([[-math.inf, 0.0, -math.inf, 0.0, -math.inf]])

    assert sample(logits, uniforms(uniform)).tolist() == [token]


def test_sample_refuses_nan():
    with pytest.raises(RunError, match="NaN or infinity"):
        sample(torch.tensor([[0.0, math.nan]]), uniforms(0.5))


def test_sample_draws_each_row_by_its_own_uniform():
    logits = torch.tensor([[0.0, 0.0], [0.0, 0.0], [5.0, -math.inf]])

    assert sample(logits, uniforms(0.9, 0.1, 0.9)).tolist() == [1, 0, 0]


@settings(max_examples=100)
@given(
    row=st.lists(st.floats(-200.0, 50.0) | st.just(-math.inf), min_size=1, max_size=30),
    uniform=st.floats(0.0, 1.0, exclude_max=True) | st.sampled_from([0.0, 5e-324, JUST_BELOW_1]),
)
def test_sample_never_draws_a_token_of_probability_zero(row, uniform):
    logits = torch.tensor([[*row, 0.0, -math.inf]])

    token = sample(logits, uniforms(uniform)).item()

    assert logits.double().softmax(dim=-1)[0, token] > 0  # fp64: in fp32 torch may round it to 0


# TextStream


def cut(text: str, stop: list[str]) -> str:
    """Return `text` up to the stop string that is complete first; of two, the longer."""
    for end in range(len(text) + 1):
        ended = [len(one) for one in stop if one and text[:end].endswith(one)]
        if ended:
            return text[: end - max(ended)]
    return text


def stream(tokenizer: Tokenizer, ids: list[int], stop: list[str]) -> list[str]:
    """Return every piece of a stream, the flushed one last."""
    text_stream, pieces = TextStream(tokenizer, stop), []
    for token in ids:
        pieces.append(text_stream.push(token))
        if text_stream.stopped:
            break
    return [*pieces, text_stream.flush()]


@settings(max_examples=100)
@example(ids=[7], stop=["abc", "b"])  # one stop ends inside the other
@example(ids=[2, 2, 2, 3], stop=["aab"])  # the stop begins again within itself
@given(
    ids=st.lists(st.integers(2, len(PIECES.id_to_bytes) - 1), max_size=15),
    stop=st.lists(st.text("ab", min_size=1, max_size=4) | st.text("abc한", min_size=1, max_size=4), max_size=3),
)
def test_text_stream_ends_at_the_first_stop_however_tokens_cut_it(ids, stop):
    assert "".join(stream(PIECES, ids, stop)) == cut(PIECES.decode(ids), stop)


@settings(max_examples=100)
@given(text=st.text(max_size=20), stop=st.lists(st.text(min_size=1, max_size=3), max_size=2))
def test_text_stream_of_bytes_ends_at_the_first_stop(text, stop):
    tokenizer = ByteTokenizer()

    assert "".join(stream(tokenizer, tokenizer.encode(text).tolist(), stop)) == cut(text, stop)


@settings(max_examples=100)
@example(ids=JAMO.encode("간나").tolist(), stop=["가"])  # not a stop once a final consonant has joined it
@given(
    ids=st.lists(st.integers(1, JAMO.vocab_size - 1), max_size=20),
    stop=st.lists(st.text("가간나ㅋe\u0301é", min_size=1, max_size=3), max_size=2),
)
def test_text_stream_of_jamo_ends_at_the_first_stop_in_any_form(ids, stop):
    expected = cut(JAMO.decode(ids), [unicodedata.normalize("NFC", one) for one in stop])

    assert "".join(stream(JAMO, ids, stop)) == expected


@settings(max_examples=100)
@given(ids=st.lists(st.integers(0, 256), max_size=30))
def test_text_stream_of_invalid_bytes_equals_decoding_at_once(ids):
    tokenizer = ByteTokenizer()

    assert "".join(stream(tokenizer, ids, [])) == tokenizer.decode(ids)


@settings(max_examples=100)
@given(ids=st.lists(st.integers(2, 8), max_size=15), stop=st.lists(st.text("abc", min_size=1, max_size=4), max_size=3))
def test_text_stream_holds_back_only_what_may_begin_a_stop(ids, stop):
    text_stream, shown = TextStream(PIECES, stop), ""
    for count, token in enumerate(ids, start=1):
        shown += text_stream.push(token)
        if text_stream.stopped:
            return
        held = PIECES.decode(ids[:count])[len(shown) :]
        assert not held or any(one.startswith(held) and one != held for one in stop)


def test_text_stream_never_shows_a_stop_across_tokens():
    a, ab, bc = (PIECES.words.index(word) + 2 for word in ("a", "ab", "bc"))

    assert stream(PIECES, [a, bc, ab], ["cab", "x"]) == ["a", "b", "", ""]


def test_text_stream_flushes_an_unfinished_stop():
    assert stream(ByteTokenizer(), ByteTokenizer().encode("ab\n").tolist(), ["\n\n"]) == ["a", "b", "", "\n"]


@pytest.mark.parametrize("character", ["é", "한", "🙂"])
def test_text_stream_keeps_characters_across_tokens_whole(character):
    ids = ByteTokenizer().encode("a" + character).tolist()

    assert stream(ByteTokenizer(), ids, []) == ["a", *[""] * (len(ids) - 2), character, ""]
    assert stream(ByteTokenizer(), ids[:-1], [])[-1] == "\ufffd"


# generate


@pytest.mark.parametrize("prompt", ["", "ab", "ab cd\nef " * 3])
def test_generate_samples_from_the_models_distribution(model, tokenizer, prompt):
    """With the longest prompt, prompt and text are several times as long as the transformer's block."""
    texts = texts_of(model, tokenizer, prompt, 3, temperature=1.0, max_new_tokens=12, seed=7)

    assert texts == [naive(model, tokenizer, prompt, count=12, seed=7, sample=sample) for sample in range(3)]
    assert len(set(texts)) == 3


@pytest.mark.parametrize("model", ["gru", "transformer-sinusoidal"], indirect=True)
def test_generate_reads_a_prompt_longer_than_one_call(model, tokenizer):
    if model.max_positions is not None:
        model = models.build(model.config.model_copy(update={"block_size": 2 * PREFILL}), model.vocab_size).eval()
    prompt = "".join(np.random.default_rng(0).choice(list("abcdefg \n"), PREFILL + 2))  # 3 in the second call

    texts = texts_of(model, tokenizer, prompt, temperature=1.0, max_new_tokens=4)

    assert texts == [naive(model, tokenizer, prompt, count=4)]


def test_generate_at_temperature_0_is_the_argmax_of_the_forward(model, tokenizer):
    (text,) = texts_of(model, tokenizer, "ab", temperature=0.0, max_new_tokens=20)

    ids = [BOUNDARY, *tokenizer.encode("ab" + text).tolist()]
    with torch.no_grad():
        logits, _ = model(read := torch.tensor([ids]), model.initial_state(1, len(ids)), read == 0)
    assert len(text) == 20
    assert logits[0, 2:-1, 2:].argmax(dim=-1).add(2).tolist() == ids[3:]


def test_generate_gives_the_same_sample_for_any_number_of_samples(model, tokenizer):
    texts = texts_of(model, tokenizer, "a", 5, max_new_tokens=30, temperature=1.0)

    for num_samples in (1, 2, 4):
        assert texts_of(model, tokenizer, "a", num_samples, max_new_tokens=30, temperature=1.0) == texts[:num_samples]


def test_generate_keeps_other_samples_when_one_stops(model, tokenizer):
    settings_ = {"num_samples": 6, "max_new_tokens": 40, "temperature": 2.0}
    whole = texts_of(model, tokenizer, "a", **settings_)

    steps = steps_of(model, tokenizer, "a", **settings_, stop=("g", "ab"))

    texts = ["".join(pieces) for pieces in zip(*steps, strict=True)]
    assert texts == [cut(text, ["g", "ab"]) for text in whole]
    assert len({len(text) for text in texts}) > 2  # they ended at different times
    assert {len(pieces) for pieces in steps} == {6}


def test_generate_depends_on_the_seed(model, tokenizer):
    texts = [texts_of(model, tokenizer, "a", max_new_tokens=30, temperature=1.0, seed=seed) for seed in (1, 1, 2)]

    assert texts[0] == texts[1] != texts[2]


def test_generate_neither_uses_nor_changes_torchs_random_state(model, tokenizer):
    texts = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        texts.append(texts_of(model, tokenizer, "a", max_new_tokens=10))
        assert torch.equal(torch.get_rng_state(), before)
    assert texts[0] == texts[1]


def test_generate_never_samples_boundary_or_unknown(scripted, tokenizer):
    model = scripted([5], tokenizer.vocab_size, always=[BOUNDARY, tokenizer.unknown_id])

    (text,) = texts_of(model, tokenizer, temperature=5.0, max_new_tokens=300)

    assert len(text) == 300
    assert "\ufffd" not in text
    assert len(set(text)) > 1


def test_generate_yields_whole_characters_one_token_per_step(scripted):
    tokenizer = ByteTokenizer()
    model = scripted(tokenizer.encode("é한🙂!").tolist(), tokenizer.vocab_size)

    steps = steps_of(model, tokenizer, max_new_tokens=10)

    assert steps == [[piece] for piece in ["", "é", "", "", "한", "", "", "", "🙂", "!"]]


def test_generate_flushes_held_text_in_the_last_step(scripted):
    tokenizer = ByteTokenizer()
    model = scripted(tokenizer.encode("ab\n한").tolist(), tokenizer.vocab_size)

    assert steps_of(model, tokenizer, max_new_tokens=3, stop=("\n\n",))[-1] == ["\n"]
    assert steps_of(model, tokenizer, max_new_tokens=5, stop=("\n\n",))[2:] == [[""], [""], ["\n\ufffd"]]


def test_generate_ends_with_its_last_sample(scripted, tokenizer):
    model = scripted(tokenizer.encode("abc abc").tolist(), tokenizer.vocab_size)

    assert steps_of(model, tokenizer, stop=("c",), max_new_tokens=50) == [["a"], ["b"], [""]]
    assert texts_of(model, tokenizer, stop=("c a", "x"), max_new_tokens=50) == ["ab"]


def test_generate_does_not_match_a_stop_in_the_prompt(scripted, tokenizer):
    model = scripted(tokenizer.encode("ab\nc").tolist(), tokenizer.vocab_size)

    assert texts_of(model, tokenizer, "a", stop=("ab",), max_new_tokens=3) == ["b\nc"]


def test_generate_reads_unknown_characters_of_the_prompt_as_unk(model, tokenizer):
    assert texts_of(model, tokenizer, "a한", max_new_tokens=9) == texts_of(model, tokenizer, "az", max_new_tokens=9)


def test_generate_runs_without_dropout_and_restores_training_mode(tokenizer):
    model = models.build(TransformerConfig(hidden_size=16, layers=1, heads=1, dropout=0.5), tokenizer.vocab_size)
    evaluated = texts_of(model.eval(), tokenizer, "abcd", temperature=0.0, max_new_tokens=10)
    pieces = generate(model.train(), model.stepper(), tokenizer, "abcd", SamplingConfig(temperature=0.0), 1)

    first = next(pieces)

    assert model.training
    assert torch.is_grad_enabled()  # restored between two steps
    assert evaluated[0].startswith(first[0])


SINUSOIDAL = TransformerConfig(hidden_size=16, layers=1, heads=1, block_size=16, positions="sinusoidal")


def test_generate_uses_all_sinusoidal_positions(tokenizer):
    model = models.build(SINUSOIDAL, tokenizer.vocab_size).eval()

    assert [len(text) for text in texts_of(model, tokenizer, "abcdef", max_new_tokens=10)] == [10]


def test_generate_refuses_more_tokens_than_sinusoidal_positions(tokenizer):
    model = models.build(SINUSOIDAL, tokenizer.vocab_size).eval()

    with pytest.raises(ConfigError, match=r"^max_new_tokens: 11 .* prompt of 6 .* 16 .* at most 10"):
        steps_of(model, tokenizer, "abcdef", max_new_tokens=11)


@pytest.mark.parametrize("length", [16, 40])
def test_generate_refuses_a_prompt_that_fills_sinusoidal_positions(tokenizer, length):
    model = models.build(SINUSOIDAL, tokenizer.vocab_size).eval()

    with pytest.raises(ConfigError, match=f"^prompt: its {length} tokens .* 16 sinusoidal positions; .* at most 15"):
        steps_of(model, tokenizer, "a" * length, max_new_tokens=1)


@pytest.mark.parametrize(("prompt", "made"), [("", 16), ("abcdef", 10), ("a" * 15, 1)])
def test_generate_without_a_length_ends_with_the_positions(tokenizer, prompt, made):
    model = models.build(SINUSOIDAL, tokenizer.vocab_size).eval()

    assert sum(1 for _ in generate(model, model.stepper(), tokenizer, prompt, SamplingConfig())) == made


@pytest.mark.parametrize(("new", "begins_a_line"), [(15, True), (16, False)])
def test_generate_omits_the_line_end_where_new_tokens_need_its_position(tokenizer, new, begins_a_line):
    model = models.build(SINUSOIDAL, tokenizer.vocab_size).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4)  # so that the prompt makes a difference

    def text(line_end):
        config = SamplingConfig(max_new_tokens=new, seed=3)
        return [piece for (piece,) in generate(model, model.stepper(), tokenizer, "", config, line_end=line_end)]

    assert len(text("a")) == new
    assert (text("a") == text("")) is not begins_a_line
    with pytest.raises(ConfigError, match="at most 16"):
        generate(model, model.stepper(), tokenizer, "", SamplingConfig(max_new_tokens=17), line_end="a")


def test_generate_checks_positions_when_called(tokenizer):
    model = models.build(SINUSOIDAL, tokenizer.vocab_size).eval()

    with pytest.raises(ConfigError, match="sinusoidal positions"):
        generate(model, model.stepper(), tokenizer, "abcdef", SamplingConfig(max_new_tokens=11))


def test_generate_refuses_weights_with_nan(model, tokenizer):
    with torch.no_grad():
        model.embedding.weight.fill_(math.nan)

    with pytest.raises(RunError, match="NaN or infinity"):
        texts_of(model, tokenizer, "ab", max_new_tokens=3)
