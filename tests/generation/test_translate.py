"""Translations: order, empty and cut sources, searches, alignment, and the engine with a source."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from seqgen.generation.beam import search
from seqgen.generation.config import BeamConfig, SamplingConfig
from seqgen.generation.engine import Engine, Request
from seqgen.generation.generate import complete_request, stream
from seqgen.generation.translate import SHORT, Translation, alignment, translate
from seqgen.tokenizers.char import CharTokenizer

from ..conftest import TRANSLATORS, build_model
from .running import run

SOURCES = ["abc", "", "gfedcba", "a", "\n b"]
ATTENDING = [name for name in TRANSLATORS if name != "rnn-translate"]


@pytest.fixture
def tokenizer() -> CharTokenizer:
    """Return a tokenizer with as many ids as the small models have."""
    return CharTokenizer("\n abcdefg")


@pytest.fixture(params=TRANSLATORS)
def model(request):
    return build_model(request.param)


def translations(model, tokenizer, sources, *, unknown=False, rows=64, **settings) -> list[list[Translation]]:
    config = BeamConfig.of(**settings)
    return list(translate(model, model.stepper(), tokenizer, sources, config, unknown=unknown, rows=rows))


def assert_same(found: list[list[Translation]], expected: list[list[Translation]]) -> None:
    assert [[one[:2] for one in row] for row in found] == [[one[:2] for one in row] for row in expected]
    for row, wanted in zip(found, expected, strict=True):
        assert [one.score for one in row] == pytest.approx([one.score for one in wanted], rel=1e-4, abs=1e-5)


def greedy(model, tokenizer, source: str, limit: int) -> list[int]:
    """Return the greedy target, each token from the forward over all before it; without <unk>."""
    ids, target = tokenizer.encode(source).tolist(), [0]
    while len(target) <= limit:
        with torch.no_grad():
            state = model.encode(torch.tensor([ids]), torch.tensor([len(ids)]), len(target))
            logits, _ = model(torch.tensor([target]), state)
        logits[0, -1, tokenizer.unknown_id] = -torch.inf
        token = int(logits[0, -1].argmax())
        if token == 0:
            break
        target.append(token)
    return target[1:]


def test_greedy_translation_is_the_argmax_of_the_forward(model, tokenizer):
    found = translations(model, tokenizer, ["abc", "gfe"], max_length=10)

    for (best,), source in zip(found, ["abc", "gfe"], strict=True):
        assert best.ids == greedy(model, tokenizer, source, 10)
        assert best.text == tokenizer.decode(best.ids)
        assert best.finish_reason == ("length" if len(best.ids) == 10 else "stop")


@pytest.mark.parametrize("beam", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_translations_are_in_order_and_do_not_depend_on_the_other_sources(model, tokenizer, beam):
    settings = {"beam": beam, "n_best": beam, "max_length": 10}
    together = translations(model, tokenizer, SOURCES, **settings)
    alone = [translations(model, tokenizer, [source], **settings)[0] for source in SOURCES]

    assert_same(together, alone)
    assert_same(translations(model, tokenizer, SOURCES, rows=2, **settings), alone)
    assert [len(row) for row in together] == [beam, 1, beam, beam, beam]


@pytest.mark.parametrize("source", ["", " \n"])
def test_empty_source_has_an_empty_target(model, tokenizer, source):
    (found,) = translations(model, tokenizer, [source], beam=3, n_best=3)

    assert found == [Translation("", [], 0.0, 0.0, "stop", 0, False)]


def test_n_best_are_different_and_the_best_first(model, tokenizer):
    (found,) = translations(model, tokenizer, ["abc"], beam=4, n_best=4, max_length=5)

    scores = [one.score for one in found]
    assert scores == sorted(scores, reverse=True)
    assert len({tuple(one.ids) for one in found}) == 4


def test_sources_may_be_ids_and_are_taken_as_they_come(model, tokenizer):
    def endless():
        while True:
            yield tokenizer.encode("abc")

    made = translate(model, model.stepper(), tokenizer, endless(), rows=3)

    assert next(made)[0][:2] == translations(model, tokenizer, ["abc"])[0][0][:2]
    made.close()


@pytest.mark.parametrize(
    ("beam", "max_length", "expected"),
    [(1, 3, [5]), (2, 3, [3, 2]), (4, 3, [1] * 5), (9, 3, [1] * 5), (1, 128, [3, 2]), (1, None, [4, 1])],
)
def test_fewer_sources_are_translated_together_with_a_wide_beam_and_for_long_targets(
    tokenizer, monkeypatch, beam, max_length, expected
):
    model, together = build_model("rnn-translate"), []
    monkeypatch.setattr("seqgen.generation.translate.POSITIONS", 6 * SHORT)

    def counted(stepper, state, config, max_lengths, forbidden):
        together.append(len(max_lengths))
        return search(stepper, state, config, max_lengths, forbidden)

    monkeypatch.setattr("seqgen.generation.translate.search", counted)
    # The default maximum length of the last is 2 x 40 + 20.
    sources = ["abc", "a", "b", "c", "ab" * 20]
    settings = {} if max_length is None else {"max_length": max_length}

    made = translations(model, tokenizer, sources, beam=beam, **settings)

    assert together == expected
    assert len(made) == 5


def test_long_source_is_cut_and_says_so(model, tokenizer):
    model.config = model.config.model_copy(update={"max_source_length": 4})

    ((cut,), (whole,)) = translations(model, tokenizer, ["abcdefg", "abcd"])

    assert (cut.source_cut, whole.source_cut) == (True, False)
    assert cut[:2] == whole[:2]


def test_length_limits_are_kept(model, tokenizer):
    for (best,) in translations(model, tokenizer, ["abc", "a"], min_length=3, max_length=5):
        assert 3 <= len(best.ids) <= 5


def test_unknown_is_written_only_on_request(tokenizer):
    model = build_model("lstm-translate")
    with torch.no_grad():
        model.head.bias[tokenizer.unknown_id] = 50.0

    (without,), (asked,) = (
        translations(model, tokenizer, ["abc"], unknown=unknown, max_length=6)[0] for unknown in (False, True)
    )

    assert tokenizer.unknown_id not in without.ids
    assert asked.ids == [tokenizer.unknown_id] * 6


@pytest.mark.parametrize("name", ATTENDING)
def test_coverage_penalty_changes_only_scores_of_one_hypothesis(tokenizer, name):
    model = build_model(name)

    ((plain,),) = translations(model, tokenizer, ["abc"])
    ((covered,),) = translations(model, tokenizer, ["abc"], coverage_penalty=0.5)

    received = alignment(model, tokenizer.encode("abc"), covered.ids)
    steps = len(covered.ids) + (covered.finish_reason == "stop")
    expected = 0.5 * float(np.log(np.minimum(received[:steps].sum(0), 1.0)).sum())
    assert covered.ids == plain.ids
    assert covered.score - plain.score == pytest.approx(expected, abs=1e-3)


# --- alignment


@pytest.mark.parametrize("name", ATTENDING)
def test_alignment_has_a_row_for_each_token_and_the_end_that_sums_to_1(tokenizer, name):
    weights = alignment(build_model(name), tokenizer.encode("abcd"), [4, 5])

    assert weights.shape == (3, 4)
    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights.sum(1), 1.0, atol=1e-5)
    assert weights.min() >= 0.0


@pytest.mark.parametrize("name", ATTENDING)
def test_alignment_is_the_attention_of_the_stepper(tokenizer, name):
    model, ids = build_model(name), tokenizer.encode("abcd")
    weights = alignment(model, ids, [4, 5])
    stepper = model.stepper()
    state = model.encode(torch.from_numpy(ids)[None].long(), torch.tensor([4]), 3)

    for token, row in zip([0, 4, 5], weights, strict=True):
        _, state = stepper.step(torch.tensor([token]), state)
        np.testing.assert_allclose(state.attention[0].numpy(), row, atol=1e-5)


def test_alignment_without_attention_is_empty(tokenizer):
    assert alignment(build_model("rnn-translate"), tokenizer.encode("abcd"), [4]).shape == (0, 4)


def test_alignment_is_of_the_part_of_a_source_that_is_read(tokenizer):
    model = build_model("lstm-translate")
    model.config = model.config.model_copy(update={"max_source_length": 2})

    assert alignment(model, tokenizer.encode("abcd"), []).shape == (1, 2)


# --- the engine


def engine_of(model, tokenizer) -> Engine:
    return Engine(model, model.stepper(), tokenizer, ends=True)


def test_greedy_row_of_an_engine_is_the_greedy_translation(model, tokenizer):
    ids = tokenizer.encode("gfe")
    config = SamplingConfig(temperature=0.0, max_new_tokens=10)

    text = "".join(stream(engine_of(model, tokenizer), Request(config=config, source=ids)))

    assert text == translations(model, tokenizer, ["gfe"], max_length=10)[0][0].text


def test_rows_with_different_sources_are_independent(model, tokenizer):
    config = SamplingConfig(temperature=1.0, max_new_tokens=12, seed=3)
    sources = [tokenizer.encode(text) for text in ("abc", "gfedcba", "a")]
    engine = engine_of(model, tokenizer)
    rows = [engine.add(Request(config=config, source=ids)) for ids in sources]

    together = ["".join(pieces) for pieces in zip(*run(engine, *rows), strict=True)]

    for ids, text in zip(sources, together, strict=True):
        assert "".join(stream(engine_of(model, tokenizer), Request(config=config, source=ids))) == text


def test_samples_of_a_source_depend_on_seed_and_number(model, tokenizer):
    def texts(seed: int, number: int) -> list[str]:
        config = SamplingConfig(temperature=20.0, max_new_tokens=12, seed=seed)  # untrained, it would only end
        request = Request(config=config, source=tokenizer.encode("abc"))
        return [made.text for made in complete_request(engine_of(model, tokenizer), request, number)]

    assert texts(1, 3)[:2] == texts(1, 2)
    assert texts(1, 3) != texts(2, 3)
    assert len(set(texts(1, 3))) > 1
