"""Runs that translate: searches, samples, streams, attention, comparisons with references, and what they refuse."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import seqgen
from seqgen.data.pairs import Pairs, Sequences
from seqgen.errors import ConfigError, RunError, TextError
from seqgen.evaluation.pairs import score_pairs
from seqgen.runs.pairs.translator import TranslatorRun
from seqgen.runs.text import TextRun
from seqgen.training.metrics import read_metrics

from ...comparing import assert_same_run, config_of
from ...small_runs import GRU, PAIRS, TRANSLATE_RUNS

WORDS = "".join(f"w{number % 30} w{number % 7}\tv{number % 30} .\n" for number in range(60))
RUNS = {
    "lstm": (PAIRS, TRANSLATE_RUNS["lstm-translate"]),
    "none": (PAIRS, TRANSLATE_RUNS["rnn-translate"]),
    "words": (WORDS, {**TRANSLATE_RUNS["lstm-translate"], "tokenizer": "word", "vocab_size": 12}),
}


@pytest.fixture(scope="module")
def _workshop(tmp_path_factory):
    return tmp_path_factory.mktemp("translators")


@pytest.fixture
def load(_workshop):
    """Load one of `RUNS`, each of which is trained once."""

    def load(name: str = "lstm") -> TranslatorRun:
        text, settings = RUNS[name]
        path = _workshop / name
        if not path.exists():
            file = _workshop / f"{name}.tsv"
            file.write_text(text, "utf-8")
            seqgen.train(file, out=path, **settings).run()
        run = seqgen.load(path)
        assert isinstance(run, TranslatorRun)
        return run

    return load


# --- translate


def test_translate_is_the_best_of_translations(load):
    run = load()

    ((best, second),) = run.translations(["123"], beam=2, n_best=2)

    assert run.translate("123", beam=2) == best.text
    assert best.score >= second.score
    assert best.text != second.text


def test_translations_take_sources_as_they_come_and_keep_none(load):
    run, taken = load(), []

    def sources():
        for number in range(10_000):
            taken.append(number)
            yield f"{number % 1000:03}"

    made = run.translations(sources())
    first = next(made)

    assert first[0].text == run.translate("000")
    assert len(taken) < 1_000


def test_empty_source_has_an_empty_target(load):
    assert load().translate("") == ""


@pytest.mark.parametrize("settings", [{"beams": 2}, {"beam": 0}, {"n_best": 2}, {"max_length": 0}])
def test_impossible_setting_is_refused_before_anything_is_read(load, settings):
    with pytest.raises(ConfigError, match=next(iter(settings))):
        load().translations(iter(()), **settings)


def test_coverage_penalty_needs_attention(load):
    with pytest.raises(ConfigError, match="coverage_penalty"):
        load("none").translate("123", coverage_penalty=0.5)


def test_translation_does_not_change_the_random_state_or_the_number_of_threads(load):
    run, state, threads = load(), torch.get_rng_state(), torch.get_num_threads()

    run.translate("123")
    next(run.samples("123", temperature=1.0))

    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


# --- samples and stream


def test_stream_joins_to_the_greedy_translation(load):
    for name in ("lstm", "none"):
        run = load(name)
        for max_length in (2, 10):
            assert "".join(run.stream("123", max_length=max_length)) == run.translate("123", max_length=max_length)


def test_samples_depend_on_their_seed(load):
    run = load()

    def texts(seed: int) -> list[str]:
        return [made.text for made in run.samples("123", num_samples=3, temperature=1.5, seed=seed)]

    assert texts(1) == texts(1)
    assert texts(1) != texts(2)


def test_samples_keep_to_the_maximum_length(load):
    (made,) = load().samples("123", max_length=2, temperature=3.0)
    assert made.tokens <= 2
    (made,) = load("none").samples("12", temperature=0.0)
    assert made.tokens <= 2 * 2 + 20


@pytest.mark.parametrize("settings", [{"num_samples": 0}, {"max_new_tokens": 5}, {"engine": "numba"}, {"tempo": 1}])
def test_impossible_samples_are_refused(load, settings):
    with pytest.raises(ConfigError, match=next(iter(settings))):
        load().samples("123", **settings)


@pytest.mark.parametrize("source", ["", " \t"])
@pytest.mark.parametrize("call", ["samples", "stream", "attention"])
def test_empty_source_is_refused_where_one_is_needed(load, call, source):
    with pytest.raises(TextError, match="source is empty"):
        list(getattr(load(), call)(source))


# --- attention


def test_attention_is_of_the_best_target_or_of_one_that_is_given(load):
    run = load()

    found = run.attention("123")
    given = run.attention("123", "45")

    assert found.source == list("123")
    assert found.target == [*run.translate("123"), "<end>"]
    assert given.target == ["4", "5", "<end>"]
    for one in (found, given):
        assert one.weights.shape == (len(one.target), 3)
        np.testing.assert_allclose(one.weights.sum(1), 1.0, atol=1e-5)


def test_attention_shows_the_characters_of_unknown_tokens(load):
    run = load()

    found = run.attention("1é2왕", "3é")

    assert found.source == list("1é2왕")
    assert found.unknown == (1, 3)
    assert found.target == ["3", "<unk>", "<end>"]
    assert run.attention("123").unknown == ()


def test_attention_without_attention_is_refused(load):
    with pytest.raises(ConfigError, match="--attention none"):
        load("none").attention("123")


# --- <unk>


@pytest.fixture
def unknowing(load):
    """A run of words that would write nothing but <unk>."""
    run = load("words")
    with torch.no_grad():
        run.model.head.bias[run.tokenizer.unknown_id] = 50.0
    return run


def test_unknown_word_is_written_only_to_be_replaced(unknowing):
    ((found,),) = unknowing.translations(["w3 w29"], max_length=2, replace_unknown=True)

    assert found.ids == [unknowing.tokenizer.unknown_id] * 2
    assert found.text in {first + second for first in ("w3", "w29") for second in ("w3", "w29")}
    assert "\ufffd" not in unknowing.translate("w3 w29", max_length=2)


def test_replace_unknown_writes_the_most_attended_word(unknowing, monkeypatch):
    weights = np.array([[0.1, 0.2, 0.7], [0.5, 0.4, 0.1], [0.0, 0.0, 1.0]])
    monkeypatch.setattr("seqgen.runs.pairs.translator.alignment", lambda *_: weights)

    ((found,),) = unknowing.translations(["w3 w29"], max_length=2, replace_unknown=True)

    assert found.text == "w29w3"


def test_replace_unknown_keeps_each_source_with_its_target(unknowing):
    sources = ["w1", "", "w2", *(f"w{number}" for number in range(100))]

    texts = [best.text for best, *_ in unknowing.translations(sources, max_length=1, replace_unknown=True)]

    assert texts == sources


def test_replace_unknown_is_for_tokenizers_of_words(load):
    with pytest.raises(ConfigError, match=r"replace_unknown.*char"):
        load().translations(["123"], replace_unknown=True)


# --- evaluation


def test_evaluate_pairs_compares_with_references_and_adds_up_costs(load, tmp_path):
    run = load()
    (tmp_path / "some.tsv").write_text("123\t4\n9\t99\n123\t4\n", "utf-8")
    seen = []

    found = run.evaluate_pairs(tmp_path / "some.tsv", progress=lambda *done: seen.append(done), sacrebleu=False)

    outputs = [run.translate(source) for source in ("123", "9", "123")]
    report = found.report
    assert (report.pairs, report.matches) == (3, sum(map(str.__eq__, outputs, ("4", "99", "4"))))
    assert report.empty == sum(not text.strip() for text in outputs)
    assert (report.sources_cut, report.chrf) == (0, None)
    assert seen == [(1, 3), (2, 3), (3, 3)]
    sides = [[run.tokenizer.encode(text) for text in texts] for texts in (("123", "9", "123"), ("4", "99", "4"))]
    nats = score_pairs(run.model, Pairs(*map(Sequences.of, sides)))
    assert found.cost.nats == pytest.approx(nats.sum(), rel=1e-6)
    assert (found.cost.tokens, found.cost.size.bytes) == (4 + 3, 4)


def test_exact_matches_are_counted(load, tmp_path):
    run = load()
    with torch.no_grad():
        run.model.head.bias[run.tokenizer.encode("7").item()] = 50.0  # the model writes nothing else
    (tmp_path / "some.tsv").write_text("123\t77\n4\t7\n5\t77\n6\t78\n", "utf-8")

    report = run.evaluate_pairs(tmp_path / "some.tsv", sacrebleu=False, max_length=2).report

    assert (report.matches, report.exact_match) == (2, 0.5)
    assert (report.truncated, report.empty) == (4, 0)


def test_evaluate_pairs_reads_the_fields_of_the_training_by_default(tmp_path):
    for name in ("train", "test"):
        records = "".join(f'{{"en": "{number}", "ko": "{number}"}}\n' for number in range(30))
        (tmp_path / f"{name}.jsonl").write_text(records, "utf-8")
    (tmp_path / "test.tsv").write_text("1\t1\n", "utf-8")
    settings = {**TRANSLATE_RUNS["rnn-translate"], "source_field": "en", "target_field": "ko"}
    run = seqgen.train(tmp_path / "train.jsonl", out=tmp_path / "run", **settings).run().expect(TranslatorRun)

    for name, pairs in (("test.jsonl", 30), ("test.tsv", 1)):
        assert run.evaluate_pairs(tmp_path / name, sacrebleu=False).report.pairs == pairs
    with pytest.raises(TextError, match="'de'"):
        run.evaluate_pairs(tmp_path / "test.jsonl", target_field="de")


def test_evaluate_pairs_reads_parallel_files_and_their_fields(load, tmp_path):
    run = load()
    for name, content in (("a.en", "1\n2\n"), ("a.de", "3\n4\n"), ("a.jsonl", '{"x": "1", "y": 3}\n')):
        (tmp_path / name).write_text(content, "utf-8")

    parallel = run.evaluate_pairs([str(tmp_path / "a.en"), str(tmp_path / "a.de")], sacrebleu=False)
    lines = run.evaluate_pairs(tmp_path / "a.jsonl", source_field="x", target_field="y", sacrebleu=False)

    assert (parallel.report.pairs, lines.report.pairs) == (2, 1)


def test_long_sources_are_counted_as_cut(load, tmp_path):
    run = load()
    run.model.config = run.model.config.model_copy(update={"max_source_length": 2})
    (tmp_path / "some.tsv").write_text("123\t4\n12\t4\n", "utf-8")

    assert run.evaluate_pairs(tmp_path / "some.tsv", sacrebleu=False).report.sources_cut == 1


def test_validation_pairs_are_those_that_training_measured(load):
    run = load()

    pairs = run.validation_texts()
    found = run.evaluate_pairs(pairs, sacrebleu=False)

    assert len(pairs) == 2 * config_of(run.path)["text"]["valid_pairs"] == 12
    best = min(
        line["nats_per_token"] for line in read_metrics(run.path / "metrics.jsonl") if line["event"] == "evaluated"
    )
    assert found.cost.nats_per_token == pytest.approx(best, rel=1e-4)


def test_bits_per_byte_are_of_the_targets(load, tmp_path):
    run = load()
    (tmp_path / "some.tsv").write_text("123\té4\n", "utf-8")

    cost = run.evaluate_pairs(tmp_path / "some.tsv", sacrebleu=False).cost

    assert (cost.size.characters, cost.size.bytes, cost.size.unknown) == (2, 3, 1)
    assert cost.bits_per_byte == pytest.approx((cost.nats + cost.size.unk_cost) / math.log(2) / 3)


# --- refusals


def test_expect_refuses_a_translator_by_name(load):
    run = load()

    assert run.expect(TranslatorRun) is run
    with pytest.raises(ConfigError, match=f"{run.path}.*translate"):
        run.expect(TextRun)


def test_pairs_that_cannot_be_read_are_refused(load, tmp_path):
    (tmp_path / "some.tsv").write_text("no tab\n", "utf-8")

    with pytest.raises(TextError, match=r"some\.tsv has no tab"):
        load().evaluate_pairs(tmp_path / "some.tsv")
    with pytest.raises(TextError, match=r"missing\.tsv"):
        load().evaluate_pairs(tmp_path / "missing.tsv")


# --- training


def test_config_records_task_and_pairs(load):
    config = config_of(load().path)

    assert (config["model"]["cell"], config["data"]["task"]) == ("lstm-translate", "translate")
    assert (config["text"]["train_pairs"], config["text"]["valid_pairs"]) == (106, 6)
    assert config["text"]["ends"]


def test_run_is_named_by_its_cell(pairs, in_tmp):
    run = seqgen.train(pairs, **TRANSLATE_RUNS["gru-translate"])
    run.close()

    assert run.path.name == "pairs-gru"


def test_stopped_run_resumes_to_the_same_weights_by_the_same_command(pairs, tmp_path):
    settings = TRANSLATE_RUNS["transformer-translate"]
    straight = seqgen.train(pairs, out=tmp_path / "straight", **settings).run()
    polls = iter([False] * 5 + [True])
    list(seqgen.train(pairs, out=tmp_path / "run", stop=lambda: next(polls), **settings))

    resumed = seqgen.train(pairs, out=tmp_path / "run", resume=True, **settings)

    assert (resumed.first_step, resumed.notices) == (5, [])
    assert_same_run(resumed.run().path, straight.path)


def test_resume_refuses_another_task_and_changed_pairs(pairs, tmp_path):
    list(seqgen.train(pairs, out=tmp_path / "run", stop=lambda: True, **TRANSLATE_RUNS["lstm-translate"]))

    with pytest.raises(ConfigError, match="task is translate, not classify"):
        seqgen.train(out=tmp_path / "run", resume=True, task="classify")
    with pytest.raises(ConfigError, match="attention is dot, not none"):
        seqgen.train(out=tmp_path / "run", resume=True, attention="none")
    pairs.write_text(PAIRS.replace("000", "001", 1), "utf-8")
    with pytest.raises(RunError, match=r"pairs\.tsv"):
        seqgen.train(out=tmp_path / "run", resume=True)


def test_callers_autocast_and_random_state_do_not_change_a_run(load, pairs, tmp_path):
    straight, settings = load(), TRANSLATE_RUNS["lstm-translate"]

    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        run = seqgen.train(pairs, out=tmp_path / "run", **settings)
        for number, event in enumerate(run):
            torch.manual_seed(number)
            if isinstance(event, seqgen.Saved):
                seqgen.load(run.path).translate("123", max_length=2)

    assert_same_run(run.path, straight.path)


def test_init_from_continues_with_the_parents_weights(load, pairs, tmp_path):
    parent = load()

    child = seqgen.train(pairs, out=tmp_path / "child", init_from=parent.path, max_steps=1, precision="fp32")

    assert all(map(torch.equal, child.model.parameters(), parent.model.parameters()))
    assert child.config.model == parent.config.model
    child.close()


def test_init_from_keeps_the_task_of_the_other_run(load, pairs, corpus, tmp_path):
    generator = seqgen.train(corpus, out=tmp_path / "generator", **{**GRU, "max_steps": 1}).run()

    with pytest.raises(ConfigError, match=r"init_from: .*generate.*translate"):
        seqgen.train(pairs, out=tmp_path / "child", init_from=generator.path, task="translate", max_steps=1)
    with pytest.raises(TextError, match="tab"):
        seqgen.train(corpus, out=tmp_path / "child", init_from=load().path, max_steps=1)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"cell": "lstm+gru"}, "cell: .*translate"),
        ({"cell": "ngram"}, "cell: ngram .*--task translate"),
        ({"cell": "lstm", "bptt": 16}, "bptt"),
        ({"cell": "lstm", "input_feeding": True, "attention": "none"}, "input_feeding"),
        ({"cell": "transformer", "attention": "none"}, "attention"),
        ({"cell": "lstm", "documents": "line"}, "documents"),
        ({"cell": "lstm", "encoding": "bytes"}, "encoding"),
    ],
)
def test_impossible_training_settings_are_refused_by_name(pairs, tmp_path, settings, named):
    with pytest.raises(ConfigError, match=named):
        seqgen.train(pairs, out=tmp_path / "run", task="translate", max_steps=1, **settings)

    assert not (tmp_path / "run").exists()


def test_settings_of_pairs_need_a_task(pairs, tmp_path):
    for name in ("attention", "two_way", "max_source_length"):
        with pytest.raises(ConfigError, match=name):
            seqgen.train(pairs, out=tmp_path / "run", cell="lstm", max_steps=1, **{name: 1})


# --- learning


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["lstm", "transformer"])
def test_encoder_decoder_learns_to_reverse(tmp_path, cell):
    """Strings that were not learned from, of 1 to 6 of 5 letters."""
    random = np.random.default_rng(0)
    words = {"".join(random.choice(list("abcde"), random.integers(1, 7))) for _ in range(6_000)}
    lines = [f"{word}\t{word[::-1]}\n" for word in sorted(words)]
    random.shuffle(lines)
    (tmp_path / "train.tsv").write_text("".join(lines[:-200]), "utf-8")
    (tmp_path / "test.tsv").write_text("".join(lines[-200:]), "utf-8")
    settings = {"hidden_size": 64, "layers": 1, "max_steps": 600, "eval_every": 600, "precision": "fp32"}

    run = seqgen.train(tmp_path / "train.tsv", out=tmp_path / "run", task="translate", cell=cell, **settings).run()

    assert run.evaluate_pairs(tmp_path / "test.tsv", sacrebleu=False).report.exact_match > 0.95


def test_targets_as_long_as_the_longest_in_training_are_not_cut(tmp_path):
    pairs, target = tmp_path / "long.tsv", "abcdefghijklmnopqrstuvwxyz0123456789"
    pairs.write_text("".join(f"{number % 3}\t{target}\n" for number in range(40)), "utf-8")
    settings = {"task": "translate", "tokenizer": "char", "max_steps": 60, "hidden_size": 32, "warmup_steps": 5}
    run = seqgen.train(pairs, out=tmp_path / "run", lr=0.02, eval_every=60, batch_size=16, **settings).run()

    ((best,),) = run.translations(["1"])

    assert run.config.text.longest_target == len(target)
    assert (best.text, best.finish_reason) == (target, "stop")
    assert run.attention("1").target[-1] == "<end>"
    assert run.attention("1", max_length=4).target == list("abcd")
