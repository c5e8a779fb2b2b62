"""The engine: what rows generate, and that they do not depend on each other."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seqgen import models
from seqgen.errors import ConfigError, RunError
from seqgen.generation.config import SamplingConfig
from seqgen.generation.engine import Engine, Request
from seqgen.generation.processors import build_processors
from seqgen.generation.prompt import PREFILL
from seqgen.models.config import TransformerConfig
from seqgen.tokenizers.base import BOUNDARY
from seqgen.tokenizers.byte import ByteTokenizer
from seqgen.tokenizers.char import CharTokenizer

from ..conftest import build_model, first_with_every_model, neural
from .running import cut, naive, run, steps_of, texts_of


@first_with_every_model("prompt", [["ab cd\nef " * 3], [""], ["ab"]])
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

    with pytest.raises(ConfigError, match=r"^max_new_tokens: 11 .* prompt of 6 .* 16 positions; .* at most 10"):
        steps_of(model, tokenizer, "abcdef", max_new_tokens=11)


@pytest.mark.parametrize("length", [16, 40])
def test_engine_refuses_a_prompt_that_fills_sinusoidal_positions(tokenizer, length):
    model = models.build(SINUSOIDAL, tokenizer.vocab_size).eval()

    with pytest.raises(ConfigError, match=f"^prompt: its {length} tokens .* 16 positions; .* at most 15"):
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

    with pytest.raises(ConfigError, match="this model's 16 positions"):
        Engine(model, model.stepper(), tokenizer).add(Request("abcdef", SamplingConfig(max_new_tokens=11)))


@neural
def test_engine_refuses_weights_with_nan(model, tokenizer):
    with torch.no_grad():
        model.embedding.weight.fill_(math.nan)

    with pytest.raises(RunError, match="NaN or infinity"):
        texts_of(model, tokenizer, "ab", max_new_tokens=3)


@pytest.mark.parametrize("steps", [0, 1])
def test_weights_with_nan_end_all_rows(scripted, tokenizer, steps):
    """In the first step while prompts are read, in the second while a row generates."""
    model = scripted([4, 4], tokenizer.vocab_size)
    model.logits[steps] = math.nan
    engine = Engine(model, model.stepper(), tokenizer, max_rows=2)
    engine.add_samples(Request(config=SamplingConfig(max_new_tokens=5)), 3)
    engine.add(Request("a" * (2 * PREFILL)))

    for _ in range(steps):
        engine.step()

    with pytest.raises(RunError, match="NaN or infinity"):
        engine.step()

    assert len(engine) == 0
    assert engine.step() == []
    model.logits.nan_to_num_()
    assert len(run(engine, engine.add(Request("b", SamplingConfig(max_new_tokens=4))))) == 4


def test_add_refuses_a_negative_number_of_alternatives(model, tokenizer):
    engine = Engine(model, model.stepper(), tokenizer)

    with pytest.raises(ConfigError, match=r"^top: .*-1"):
        engine.add(Request(top=-1))

    assert len(engine) == 0


# Rows of different requests


def random_requests(count, longest, limit=None):
    """Return requests with different prompts, settings and lengths, and the steps at which they arrive."""
    random = np.random.default_rng(7)
    requests = []
    for number in range(count):
        prompt = "".join(random.choice(list("abcdefg \n"), random.integers(0, 20)))
        new = longest if number % 4 else int(random.integers(1, 30))  # capacities below and above the block size
        settings_ = {
            "temperature": float(random.choice([0.0, 0.7, 1.0, 1.5])),
            "top_k": int(random.choice([0, 0, 3])),
            "top_p": float(random.choice([1.0, 0.9])),
            "min_p": float(random.choice([0.0, 0.0, 0.05])),
            "seed": int(random.integers(5)),
        }
        if limit is None or number % 2:
            settings_["max_new_tokens"] = new if limit is None else min(new, limit - len(prompt))
        if number % 5 == 0:
            settings_["stop"] = ("g", "bc")
        requests.append(Request(prompt, SamplingConfig.of(**settings_), sample=number))
    return requests, random.integers(0, longest, count).tolist()


def rows_of(engine, requests, arrivals):
    """Return the ids, the text and the finish reason of each request, which arrives at its step."""
    rows, found, step = {}, {}, 0
    while step <= max(arrivals) or len(engine):
        for number, arrival in enumerate(arrivals):
            if arrival == step:
                rows[engine.add(requests[number])] = number
        for event in engine.step():
            found_ids, text, _ = found.get(rows[event.row], ([], "", None))
            found[rows[event.row]] = ([*found_ids, event.id], text + event.text, event.finish_reason)
        step += 1
    return [found[number] for number in range(len(requests))]


def distance_to_edge(model, tokenizer, request, ids):
    """Return how far the draw after `ids` was from giving another token, in probability."""
    config = request.config
    read = torch.tensor([[BOUNDARY, *tokenizer.encode(request.prompt).tolist(), *ids]])
    with torch.no_grad():
        logits = model(read, model.initial_state(1, read.shape[1]), read == BOUNDARY)[0][:, -1]
    logits[0, [BOUNDARY, tokenizer.unknown_id]] = -math.inf
    edges = []
    for share in [1.0] if config.temperature == 0.0 else [config.temperature]:
        ordered = (logits / share).softmax(-1)[0].double().sort(descending=True).values
        before = ordered.cumsum(0) - ordered
        edges += [(ordered[0] - ordered[1]).abs().item()] if config.temperature == 0.0 else []
        edges += [(ordered[config.top_k - 1] - ordered[config.top_k]).abs().item()] if config.top_k else []
        edges += [(before - config.top_p).abs().min().item()] if config.top_p < 1.0 else []
        edges += [(ordered - config.min_p * ordered[0]).abs().min().item()] if config.min_p else []
    for apply in build_processors(config):
        logits = apply(logits, [])
    heights = logits.double().softmax(-1)[0].cumsum(0)
    uniform = np.random.default_rng([config.seed, request.sample]).random(len(ids) + 1)[-1]
    return min([*edges, (heights - uniform).abs().min().item()])


def check_rows_are_as_alone(model, tokenizer, stepper, count, longest):
    requests, arrivals = random_requests(count, longest, model.max_positions)

    together = rows_of(Engine(model, stepper, tokenizer), requests, arrivals)

    for request, (ids, text, reason) in zip(requests, together, strict=True):
        ((alone, alone_text, alone_reason),) = rows_of(Engine(model, stepper, tokenizer), [request], [0])
        if ids == alone:
            assert (text, reason) == (alone_text, alone_reason)
        else:
            same = next(place for place, pair in enumerate(zip(ids, alone, strict=False)) if pair[0] != pair[1])
            assert distance_to_edge(model, tokenizer, request, ids[:same]) < 1e-5
    assert {reason for *_, reason in together} == {"stop", "length"}
    assert len({text for _, text, _ in together}) > count / 2


def test_rows_that_arrive_at_different_steps_generate_what_they_do_alone(model, tokenizer):
    check_rows_are_as_alone(model, tokenizer, model.stepper(), 16, 50)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["torch", "numba"])
@pytest.mark.parametrize("model", ["lstm", "gru", "transformer"], indirect=True)
def test_64_rows_of_200_tokens_generate_what_they_do_alone(model, tokenizer, engine):
    if engine == "numba":
        pytest.importorskip("numba")

    check_rows_are_as_alone(model, tokenizer, model.stepper("fp32", engine), 64, 200)


@pytest.mark.slow
@settings(max_examples=25)
@given(data=st.data())
def test_rows_do_not_depend_on_rows_that_come_and_are_cancelled(data):
    model, tokenizer = build_model("gru"), CharTokenizer("\n abcdefg")
    stepper = model.stepper()
    engine, found, cancelled = Engine(model, stepper, tokenizer, max_rows=data.draw(st.integers(1, 4))), {}, set()
    requests = {}
    for _ in range(data.draw(st.integers(1, 20))):
        action = data.draw(st.sampled_from(["add", "cancel", "step", "step"]))
        if action == "add":
            config = SamplingConfig(
                max_new_tokens=data.draw(st.integers(1, 9)), temperature=data.draw(st.sampled_from([0.5, 1.0]))
            )
            request = Request(data.draw(st.text("abc ", max_size=9)), config, sample=len(requests))
            requests[engine.add(request)] = request
        elif action == "cancel" and requests:
            row = data.draw(st.sampled_from(sorted(requests)))
            engine.cancel(row)
            cancelled.add(row)
        else:
            for event in engine.step():
                assert event.row not in cancelled
                found.setdefault(event.row, []).append(event.id)
    while len(engine):
        for event in engine.step():
            assert event.row not in cancelled
            found.setdefault(event.row, []).append(event.id)

    for row, request in requests.items():
        ((alone, _, _),) = rows_of(Engine(model, stepper, tokenizer), [request], [0])
        if row in cancelled:
            assert found.get(row, []) == alone[: len(found.get(row, []))]
        else:
            assert found[row] == alone


def test_rows_beyond_the_maximum_wait(model, tokenizer):
    engine = Engine(model, model.stepper(), tokenizer, max_rows=2)
    config = SamplingConfig(max_new_tokens=4, temperature=1.0)
    rows = [*engine.add_samples(Request("a", config), 3), engine.add(Request("bc", config, sample=3))]

    first, texts = engine.step(), dict.fromkeys(rows, "")
    for event in first:
        texts[event.row] += event.text
    while len(engine):
        for event in engine.step():
            texts[event.row] += event.text

    assert [event.row for event in first] == rows[:2]
    assert [texts[row] for row in rows[:3]] == texts_of(model, tokenizer, "a", 3, max_new_tokens=4, temperature=1.0)
    assert len(texts[rows[3]]) == 4


def test_a_long_prompt_does_not_delay_other_rows(scripted, tokenizer):
    model = scripted([4], tokenizer.vocab_size)
    engine = Engine(model, model.stepper(), tokenizer)
    short = engine.add(Request("a", SamplingConfig(max_new_tokens=10)))
    long = engine.add(Request("a" * (2 * PREFILL), SamplingConfig(max_new_tokens=2)))

    steps = [[event.row for event in engine.step()] for _ in range(5)]

    assert steps == [[short], [short], [short, long], [short, long], [short]]


@first_with_every_model("steps", [[1], [0], [4]])
def test_cancel_ends_a_row_in_any_stage(model, tokenizer, steps):
    engine = Engine(model, model.stepper(), tokenizer, max_rows=2)
    kept = engine.add(Request("ab", SamplingConfig(max_new_tokens=6)))
    reading = engine.add(Request("a" * (2 * PREFILL if model.max_positions is None else 9)))
    waiting = engine.add(Request("b"))
    text = "".join(event.text for _ in range(steps) for event in engine.step() if event.row == kept)

    for row in (reading, waiting, waiting, 99):
        engine.cancel(row)

    assert len(engine) == 1
    text += "".join(pieces[0] for pieces in run(engine, kept))
    assert [text] == texts_of(model, tokenizer, "ab", max_new_tokens=6)
    assert engine.step() == []


# Events


def test_the_end_of_a_document_ends_a_row(scripted, tokenizer):
    a, b = tokenizer.encode("ab").tolist()
    model = scripted([a, b, BOUNDARY, a], tokenizer.vocab_size)
    engine = Engine(model, model.stepper(), tokenizer, ends=True)
    row = engine.add(Request(config=SamplingConfig(stop=("bc",))))

    events = [event for _ in range(4) for event in engine.step()]

    assert [(event.row, event.id, event.text, event.finish_reason) for event in events] == [
        (row, a, "a", None), (row, b, "", None), (row, BOUNDARY, "b", "stop"),
    ]  # fmt: skip
    assert len(engine) == 0


def test_the_end_of_a_document_is_drawn_by_its_probability(scripted, tokenizer):
    model = scripted([BOUNDARY], tokenizer.vocab_size)
    model.logits[0] = torch.log(torch.tensor([0.25, 1e-9, 0.75, *[1e-9] * (tokenizer.vocab_size - 3)]))
    engine = Engine(model, model.stepper(), tokenizer, ends=True)
    rows = engine.add_samples(Request(config=SamplingConfig(temperature=1.0, max_new_tokens=100)), 2000)

    lengths = [len("".join(pieces)) for pieces in zip(*run(engine, *rows), strict=True)]

    assert sum(lengths) / len(lengths) == pytest.approx(3.0, abs=0.25)  # geometric: (1 - p) / p
    assert sum(length == 0 for length in lengths) / len(lengths) == pytest.approx(0.25, abs=0.03)


def test_finish_reasons_are_stop_and_length(scripted, tokenizer):
    model = scripted(tokenizer.encode("abc").tolist(), tokenizer.vocab_size)

    def reasons(**sampling):
        engine = Engine(model, model.stepper(), tokenizer)
        engine.add(Request(config=SamplingConfig(**sampling)))
        return [event.finish_reason for _ in range(9) for event in engine.step()]

    assert reasons(max_new_tokens=2) == [None, "length"]
    assert reasons(max_new_tokens=3, stop=("bc",)) == [None, None, "stop"]


def test_a_stop_string_in_the_held_text_of_the_last_token_is_the_finish_reason(scripted):
    tokenizer = ByteTokenizer()
    model = scripted(tokenizer.encode("ab한").tolist(), tokenizer.vocab_size)
    engine = Engine(model, model.stepper(), tokenizer)
    engine.add(Request(config=SamplingConfig(max_new_tokens=4, stop=("\ufffd",))))

    events = [event for _ in range(4) for event in engine.step()]

    assert [event.text for event in events] == ["a", "b", "", ""]
    assert events[-1].finish_reason == "stop"


@pytest.mark.parametrize("model", ["gru", "transformer"], indirect=True)
def test_events_have_the_models_own_log_probabilities(model, tokenizer):
    engine = Engine(model, model.stepper(), tokenizer)
    config = SamplingConfig(max_new_tokens=5, temperature=0.3, top_k=2)
    plain, scored, alternatives = (engine.add(Request("ab", config, top=top)) for top in (None, 0, 3))

    events = [event for _ in range(5) for event in engine.step()]

    assert {(event.logprob, event.top) for event in events if event.row == plain} == {(None, ())}
    found = [event for event in events if event.row == alternatives]
    assert [event.logprob for event in events if event.row == scored] == pytest.approx(
        [event.logprob for event in found], abs=1e-5
    )
    assert {event.top for event in events if event.row == scored} == {()}
    read = torch.tensor([[BOUNDARY, *tokenizer.encode("ab").tolist(), *(event.id for event in found)]])
    with torch.no_grad():
        expected, _ = model.log_probs(read, model.initial_state(1, read.shape[1]), read == BOUNDARY)
    for event, row in zip(found, expected[0, 2:-1], strict=True):
        assert event.logprob == pytest.approx(row[event.id].item(), abs=1e-5)
        assert [token for token, _ in event.top] == row.topk(3).indices.tolist()
        assert [value for _, value in event.top] == pytest.approx(row.topk(3).values.tolist(), abs=1e-5)


def test_processors_receive_the_history_of_each_row(model, tokenizer, monkeypatch):
    seen = []

    def record(logits, histories):
        seen.append([([*history.prompt], [*history.new]) for history in histories])
        return logits

    monkeypatch.setattr("seqgen.generation.engine.build_processors", lambda config: [record])
    engine = Engine(model, model.stepper(), tokenizer)
    for prompt in ("ab", "c"):
        engine.add(Request(prompt, SamplingConfig(max_new_tokens=2)))

    drawn = [[event.id for event in engine.step()] for _ in range(2)]

    prompts = [tokenizer.encode(prompt).tolist() for prompt in ("ab", "c")]
    assert seen[0] == [(prompts[0], []), (prompts[1], [])]
    assert seen[1] == [(prompts[0], drawn[0][:1]), (prompts[1], drawn[0][1:])]


@pytest.mark.parametrize(("length", "made"), [(15, 1), (16, 16)])
def test_a_line_end_that_leaves_no_position_is_omitted(tokenizer, length, made):
    model = models.build(SINUSOIDAL, tokenizer.vocab_size).eval()
    engine = Engine(model, model.stepper(), tokenizer, line_end="a" * length)

    assert len(run(engine, engine.add(Request()))) == made
