"""Runs that generate text: samples, evaluation, scores, adaptation, and their limits."""

from __future__ import annotations

import math
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import seqgen
from seqgen import models, tokenizers
from seqgen.errors import ConfigError, RunError, TextError
from seqgen.evaluation.adaptation.config import AdaptationConstants
from seqgen.evaluation.report import Context
from seqgen.generation.sampling import sample
from seqgen.runs.directory import RunDirectory
from seqgen.runs.text import TextRun
from seqgen.sources.source import LoadedDocuments
from seqgen.tokenizers.config import TokenizerConfig

from .conftest import SMALL


def test_stream_pieces_join_to_the_text(run):
    text = run.generate("The ", max_new_tokens=50, seed=3)

    pieces = list(run.generate("The ", max_new_tokens=50, seed=3, stream=True))

    assert "".join(pieces) == text
    assert len(pieces) > 10
    assert len(text) == 50


def test_generate_depends_only_on_the_seed(run):
    text = run.generate(max_new_tokens=50, seed=3)
    torch.manual_seed(99)
    before = torch.get_rng_state()

    assert run.generate(max_new_tokens=50, seed=3) == text
    seqgen.load(run.path)
    assert torch.equal(torch.get_rng_state(), before)
    assert run.generate(max_new_tokens=50, seed=4) != text


def test_samples_equal_generate_and_are_independent(run):
    samples = run.samples("The ", num_samples=3, max_new_tokens=50)

    assert samples[0] == run.generate("The ", max_new_tokens=50)
    assert run.samples("The ", num_samples=1, max_new_tokens=50) == samples[:1]
    assert len(set(samples)) == 3


@pytest.mark.slow
def test_samples_without_prompt_begin_like_lines(corpus, tmp_path):
    settings = {"hidden_size": 32, "bptt": 32, "batch_size": 16, "lr": 0.03, "warmup_steps": 5, "max_steps": 150}
    training = seqgen.train(corpus, out=tmp_path / "run", cell="gru", eval_every=150, precision="fp32", **settings)
    (shown,) = [event.text for event in training if isinstance(event, seqgen.Sampled)]
    run = seqgen.load(tmp_path / "run")
    starts = {line[:3] for line in corpus.read_text("utf-8").splitlines()}

    texts = run.samples(num_samples=200, max_new_tokens=3)

    assert sum(text in starts for text in texts) >= 190
    assert run.generate(max_new_tokens=3) == texts[0] == shown[:3]  # with the seed of the run
    assert run.samples(".\n", num_samples=200, max_new_tokens=3) == texts


def test_samples_of_a_run_on_documents_begin_after_0(corpus, tmp_path):
    shutil.copy(corpus, tmp_path / "other.txt")
    run = seqgen.train([corpus, tmp_path / "other.txt"], out=tmp_path / "run", cell="gru", **SMALL).run()
    logits, _ = run.model(torch.tensor([[0]]), None, torch.tensor([[True]]))

    text = run.generate(max_new_tokens=1, temperature=0)

    assert text == run.tokenizer.decode([int(logits[0, -1, 2:].argmax()) + 2])


@pytest.mark.slow
def test_engines_generate_the_same_text(run):
    pytest.importorskip("numba")
    settings = {"max_new_tokens": 60, "seed": 2}

    assert run.generate("The ", engine="numba", **settings) == run.generate("The ", **settings)
    assert run.samples("The ", num_samples=2, engine="numba", **settings)[0] == run.generate("The ", **settings)


@pytest.mark.parametrize("engine", ["torch", "numba"])
def test_engine_chooses_the_stepper(run, monkeypatch, engine):
    made = []

    def compiled_stepper(model, precision):
        made.append(precision)
        return model.stepper(precision)

    numba = SimpleNamespace(compiled_recurrent_stepper=compiled_stepper, compiled_transformer_stepper=compiled_stepper)
    monkeypatch.setitem(sys.modules, "seqgen.models.numba.stepper", numba)

    run.generate(engine=engine, precision="bf16", max_new_tokens=2)

    assert made == (["bf16"] if engine == "numba" else [])


def test_impossible_setting_is_refused_before_generating(run):
    with pytest.raises(ConfigError, match="temprature: unknown setting"):
        run.generate(temprature=1.0, stream=True)
    for number in (0, 10_001):
        with pytest.raises(ConfigError, match="num_samples"):
            run.samples(num_samples=number)
    with pytest.raises(ConfigError, match="stride"):
        run.evaluate_text("text", stride=3)


def test_evaluate_scores_the_whole_text(run, corpus):
    progress: list[tuple[int, int]] = []
    report = run.evaluate(corpus)

    again = run.evaluate_text(corpus.read_text("utf-8"), progress=lambda *given: progress.append(given))

    assert again == report
    assert report.tokens == len(corpus.read_text("utf-8"))
    assert progress == sorted(progress)
    assert progress[-1] == (report.tokens, report.tokens)
    assert {total for _, total in progress} == {report.tokens}
    assert report.bits_per_byte == pytest.approx(report.nats / math.log(2) / report.size.bytes)
    assert report.perplexity == pytest.approx(math.exp(report.nats_per_token))


def test_evaluate_text_scores_documents_separately(run):
    first, second = run.evaluate_text("The old king"), run.evaluate_text("No one")

    both = run.evaluate_text("The old king", "No one")

    assert both.tokens == 18
    assert both.nats == pytest.approx(first.nats + second.nats, rel=1e-5)


@pytest.mark.parametrize("kind", ["char", "byte", "word", "unigram", "bpe"])
@pytest.mark.parametrize(("normalization", "ends"), [("none", True), ("nfd", False)])
def test_scores_of_tokens_add_up_to_the_evaluation(run, corpus, kind, normalization, ends):
    text = "The old king 왕은 비를 그린다 🙂.\n" * 20 + "e\u0301"
    tokenizer = tokenizers.build([corpus.read_text("utf-8")], TokenizerConfig(kind=kind, normalization=normalization))
    config = run.config.model_copy(update={"text": run.config.text.model_copy(update={"ends": ends})})
    model = models.build(config.model, tokenizer.vocab_size).eval()
    other = TextRun(RunDirectory(run.path), config, model, tokenizer)

    scores, evaluation = other.score(text), other.evaluate_text(text)

    assert scores.nats.sum() == pytest.approx(evaluation.nats, rel=1e-12)
    assert scores.unk_cost.sum() == pytest.approx(evaluation.size.unk_cost, rel=1e-12)
    bits = (scores.nats.sum() + scores.unk_cost.sum()) / math.log(2)
    assert bits / len(text.encode()) == pytest.approx(evaluation.bits_per_byte, rel=1e-12)
    assert len(scores.ids) == len(scores.nats) == evaluation.tokens == len(tokenizer.encode(text)) + ends
    assert evaluation.ends == (scores.ids == 0).sum() == ends
    assert "".join(scores.tokens) == scores.text


def test_score_documents_scores_each_document_with_its_end(run):
    config = run.config.model_copy(update={"text": run.config.text.model_copy(update={"ends": True})})
    other, seen = TextRun(RunDirectory(run.path), config, run.model, run.tokenizer), []

    documents, scores = other.score_documents(
        LoadedDocuments.of(["The old king", "No one"], [1, 1]), progress=lambda *counted: seen.append(counted)
    )

    assert documents == ("The old king", "No one")
    assert documents.end_sizes == (1, 1)
    for text, one in zip(documents, scores, strict=True):
        assert one.text == text
        np.testing.assert_allclose(one.nats, other.score(text).nats, rtol=1e-5)
    assert seen[-1] == (20, 20)


def test_score_documents_scores_a_model_that_learns(run):
    text = "The old king watches the river.\n" * 3
    documents = LoadedDocuments.of([text])

    _, (scores,) = run.score_documents(
        documents, dynamic="weights", adaptation=AdaptationConstants(rate=0.1, segment=8)
    )

    learned = run.evaluate_documents(documents, dynamic="weights", adaptation=AdaptationConstants(rate=0.1, segment=8))
    assert scores.nats.sum() == pytest.approx(learned.dynamic.nats, rel=1e-9)
    assert scores.nats[:8] == pytest.approx(run.score(text).nats[:8], rel=1e-4)
    assert scores.nats.sum() != pytest.approx(learned.nats, rel=1e-3)


def test_score_returns_the_nats_of_each_token_after_those_before(run):
    text = "The old king"
    tokens = run.tokenizer.encode(text).tolist()

    scores = run.score(text)

    with torch.no_grad():
        logits, _ = run.model(read := torch.tensor([[0, *tokens[:-1]]]), None, read == 0)
    log_probs = logits[0].double().log_softmax(-1)
    expected = [-float(row[token]) for row, token in zip(log_probs, tokens, strict=True)]
    assert scores.nats == pytest.approx(expected, rel=1e-5)
    assert scores.tokens == list(text)
    windows = run.score(text, context_window=1)
    assert windows.nats[0] == pytest.approx(expected[0], rel=1e-5)
    assert windows.nats[5] != pytest.approx(expected[5], rel=1e-5)
    with pytest.raises(TextError, match="empty"):
        run.score("")
    with pytest.raises(ConfigError, match="stride"):
        run.score(text, stride=3)


@pytest.mark.parametrize("ends", [False, True])
def test_surprisal_of_documents_has_their_scores_and_their_evaluation(run, ends):
    config = run.config.model_copy(update={"text": run.config.text.model_copy(update={"ends": ends})})
    other = TextRun(RunDirectory(run.path), config, run.model, run.tokenizer)
    documents = LoadedDocuments.of(["The old king.\nNo one.\n", "", "A child"], [1, 1, 1], places=["a", "b", "c"])
    seen = []

    found = other.surprisal(documents, progress=lambda *counts: seen.append(counts))

    assert found.evaluation == other.evaluate_documents(documents)
    for tokens, text in zip(found.tokens, ("The old king.\nNo one.\n", "A child"), strict=True):
        assert tokens.scores.nats == pytest.approx(other.score(text).nats, rel=1e-5)
    assert found.texts.places == ("a", "c")
    assert seen[-1] == (found.evaluation.tokens, found.evaluation.tokens)
    assert other.surprisal(documents, tokens=False).tokens is None
    windows = other.surprisal(documents, tokens=False, calibration=True, context_window=3)
    assert windows.evaluation.context == Context(kind="windows", segments=11, window=3, stride=3)
    assert windows.calibration.answers == found.evaluation.tokens


@pytest.mark.parametrize(("settings", "name"), [({"dynamic": "all"}, "dynamic"), ({"cache": True}, "cache")])
def test_scores_of_single_tokens_refuse_a_model_that_learns(run, settings, name):
    with pytest.raises(ConfigError, match=name):
        run.score("The old king", **settings)
    with pytest.raises(ConfigError, match=name):
        run.surprisal(LoadedDocuments.of(["The old king"]), **settings)


def test_evaluate_text_scores_the_end_of_each_document_that_is_not_empty(run):
    config = run.config.model_copy(update={"text": run.config.text.model_copy(update={"ends": True})})
    other = TextRun(RunDirectory(run.path), config, run.model, run.tokenizer)

    report = other.evaluate_text("The old king", "", "No one")

    assert (report.tokens, report.ends) == (18 + 2, 2)
    assert report.nats > run.evaluate_text("The old king", "No one").nats
    assert report.nats == pytest.approx(other.score("The old king").nats.sum() + other.score("No one").nats.sum())
    with pytest.raises(TextError, match="empty"):
        other.evaluate_text("", "")


def test_evaluate_refuses_missing_and_empty_files(run, tmp_path):
    (tmp_path / "empty.txt").touch()

    with pytest.raises(TextError, match="is empty"):
        run.evaluate(tmp_path / "empty.txt")
    with pytest.raises(TextError, match=r"gone\.txt"):
        run.evaluate(tmp_path / "gone.txt")


def test_evaluate_reads_texts_by_its_settings(run, tmp_path):
    (tmp_path / "king.log").write_bytes(b"The old king \xff")
    (tmp_path / "sea.jsonl").write_text('{"body": "No one paints"}\n{"body": "the river"}\n', "utf-8")

    replaced = run.evaluate(tmp_path, glob="*.log", errors="replace", sequential=True)
    documents = run.evaluate(tmp_path / "sea.jsonl", field="body")

    assert replaced.nats == run.evaluate_text("The old king \ufffd", sequential=True).nats
    assert documents.nats == run.evaluate_text("No one paints", "the river").nats
    assert run.evaluate(tmp_path / "king.log", encoding="latin-1").size.characters == 14
    with pytest.raises(TextError, match="at byte 13"):
        run.evaluate(tmp_path / "king.log")
    with pytest.raises(ConfigError, match=r"errors: .*not 'guess'"):
        run.evaluate(tmp_path / "king.log", errors="guess")
    with pytest.raises(ConfigError, match="strid: unknown setting"):
        run.evaluate(tmp_path / "king.log", errors="ignore", strid=3)


def test_validation_texts_are_the_validation_part(run):
    text = run.validation_texts()

    assert sum(map(len, text)) == run.config.text.valid_tokens
    assert run.evaluate_text(*text).nats_per_token < math.log(run.tokenizer.vocab_size)


def test_evaluation_of_withheld_blocks_is_that_of_training(corpus, tmp_path):
    """A block that was cut out of a document has no end."""
    shutil.copy(corpus, tmp_path / "other.txt")
    training = seqgen.train(
        [corpus, tmp_path / "other.txt"], out=tmp_path / "run", cell="gru", valid_split="tail", **SMALL
    )
    (best,) = [event.nats_per_token for event in training if isinstance(event, seqgen.Evaluated)]
    run = seqgen.load(tmp_path / "run")

    texts = run.validation_texts()
    report = run.evaluate_documents(texts)

    assert texts.ends == (True,)
    assert report.nats_per_token == pytest.approx(best, rel=1e-6)
    assert report.tokens == run.config.text.valid_tokens
    cut = seqgen.train(
        [corpus, tmp_path / "other.txt"], out=tmp_path / "cut", cell="gru", valid_split="blocks", **SMALL
    )
    (best,) = [event.nats_per_token for event in cut if isinstance(event, seqgen.Evaluated)]
    run = seqgen.load(tmp_path / "cut")
    report = run.evaluate_documents(run.validation_texts())
    assert report.ends < len(run.validation_texts())
    assert report.nats_per_token == pytest.approx(best, rel=1e-6)


def test_bits_per_byte_of_lines_are_the_length_of_their_code(corpus, tmp_path):
    run = seqgen.train(corpus, documents="line", out=tmp_path / "run", cell="gru", **SMALL).run()
    lines = [f"The old king {'paints ' * (number % 9)}the rain {number}." for number in range(99)]
    (tmp_path / "lines.txt").write_text("\n".join(lines) + "\n", "utf-8")
    model = run.model.double()
    bits = 0.0
    for line in lines:
        ids = run.tokenizer.encode(line).tolist()
        with torch.no_grad():
            logits, _ = model(read := torch.tensor([[0, *ids]]), None, read == 0)
        for row, target in zip(logits[0].softmax(-1), [*ids, 0], strict=True):
            bits -= math.log2(row[target])
        bits += ids.count(run.tokenizer.unknown_id) * math.log2(0x110000 - 0x800 - (run.tokenizer.vocab_size - 2))
    model.float()

    report = run.evaluate(tmp_path / "lines.txt")

    assert report.ends == 99
    assert report.bits_per_byte == pytest.approx(bits / (tmp_path / "lines.txt").stat().st_size, rel=1e-6)


def test_validation_texts_of_a_changed_text_are_refused(corpus, tmp_path):
    run = seqgen.train(corpus, out=tmp_path / "run", cell="gru", **SMALL).run()
    corpus.write_text(corpus.read_text("utf-8") + "More.\n", "utf-8")

    with pytest.raises(RunError, match="not the text that this run was started on"):
        run.validation_texts()


def test_training_texts_are_the_text_without_the_validation_part(run, corpus):
    training, text = ["".join(part) for part in run.training_texts()], corpus.read_text("utf-8")

    assert sum(map(len, (*training, *run.validation_texts()))) == len(text)
    assert all(part in text for part in training)
    assert run.is_training_text(text)
    assert not run.is_training_text(text[:-1])


def test_memorization_compares_with_the_training_texts(run):
    *_, last = map("".join, run.training_texts())
    copied = last[-50:]

    found = run.memorization(f"§{copied}§")

    assert (found.longest_copy, found.start, found.copied_share) == (copied, 1, 50 / 52)
    assert run.memorization("§").longest_copy == ""


def test_validation_texts_without_a_validation_part_are_refused(corpus, tmp_path):
    run = seqgen.train(corpus, out=tmp_path / "run", cell="gru", valid_split="none", **SMALL).run()

    with pytest.raises(RunError, match="no validation part"):
        run.validation_texts()


def test_sinusoidal_positions_limit_evaluation_and_generation(corpus, tmp_path):
    settings = {"cell": "transformer", "heads": 2, "layers": 1, "block_size": 32, "positions": "sinusoidal"}
    run = seqgen.train(corpus, out=tmp_path / "run", **settings, **SMALL).run()

    assert run.evaluate(corpus).context == Context(kind="windows", segments=155, window=32, stride=32)
    for settings in ({"sequential": True}, {"context_window": 33}):
        with pytest.raises(ConfigError, match="32 positions"):
            run.evaluate(corpus, **settings)
    assert len(run.generate("The ", max_new_tokens=28)) == 28
    with pytest.raises(ConfigError, match="at most 28"):
        run.generate("The ", max_new_tokens=29)


def test_stop_accepts_a_string_or_any_sequence(run):
    text = run.generate(max_new_tokens=50)
    stop = text[20:22]
    expected = text[: text.find(stop)]

    for stops in (stop, [stop], (stop, "never in it"), iter([stop])):
        assert run.generate(max_new_tokens=50, stop=stops) == expected
    with pytest.raises(ConfigError, match="stop"):
        run.generate(stop=[3])


def test_stream_beyond_the_positions_is_refused_at_once(corpus, tmp_path):
    settings = {"cell": "transformer", "heads": 2, "layers": 1, "block_size": 32, "positions": "sinusoidal"}
    run = seqgen.train(corpus, out=tmp_path / "run", **settings, **SMALL).run()

    with pytest.raises(ConfigError, match="at most 28"):
        run.generate("The ", max_new_tokens=29, stream=True)


@pytest.mark.parametrize("engine", ["torch", pytest.param("numba", marks=pytest.mark.slow)])
def test_threads_are_used_and_the_callers_restored(run, monkeypatch, engine):
    seen = []
    loaded = seqgen.load(run.path, threads=2)
    monkeypatch.setattr(
        "seqgen.generation.engine.sample", lambda *given: seen.append(torch.get_num_threads()) or sample(*given)
    )

    for _ in loaded.generate(stream=True, max_new_tokens=5, engine=engine):
        assert torch.get_num_threads() == 1
    loaded.evaluate_text("The old king paints the rain.\n" * 20)

    assert set(seen) == {2}
    assert torch.get_num_threads() == 1


@pytest.fixture
def names_run(tmp_path):
    """A run on 400 names, a line each."""
    path = tmp_path / "names.txt"
    path.write_text("".join(f"name {number:03}\n" for number in range(400)), "utf-8")
    return seqgen.train(path, out=tmp_path / "names-run", documents="line", cell="gru", **SMALL).run()


def test_texts_are_read_by_the_documents_of_the_run(names_run, tmp_path):
    (tmp_path / "more.txt").write_text("name 1\nname 2\n\nname 3", "utf-8")
    (tmp_path / "more.jsonl").write_text('{"text": "name 1"}\n{"text": "name 2"}\n', "utf-8")

    assert names_run.config.text.ends
    assert names_run.reading().documents == "line"
    assert names_run.evaluate(tmp_path / "more.txt").size.bytes == 3 * 7
    assert names_run.evaluate(tmp_path / "more.txt", documents="file").size.bytes == 21
    assert names_run.evaluate(tmp_path / "more.jsonl").size.bytes == 2 * 6
    with pytest.raises(ConfigError, match="documents"):
        names_run.evaluate(tmp_path / "more.jsonl", documents="line")


def test_validation_texts_have_the_bytes_of_their_ends(names_run):
    texts = names_run.validation_texts()

    assert len(texts) == texts.end_bytes > 20
    assert names_run.evaluate_documents(texts).size.bytes == 9 * len(texts)


def test_ends_that_are_not_scored_count_no_bytes(run, tmp_path):
    (tmp_path / "lines.txt").write_text("The old king\nThe rain\n", "utf-8")

    lines = run.evaluate(tmp_path / "lines.txt", documents="line")

    assert not run.config.text.ends
    assert (lines.ends, lines.size.bytes, lines.size.characters) == (0, 20, 20)


def test_evaluate_text_of_lines_is_evaluate_of_their_file(names_run, tmp_path):
    (tmp_path / "more.txt").write_text("name 1\nname 22\n", "utf-8")

    assert names_run.evaluate_text("name 1", "name 22") == names_run.evaluate(tmp_path / "more.txt")


def test_documents_without_tokens_are_left_out(names_run, monkeypatch):
    expected = names_run.evaluate_text("name 1", "name 22")
    encode = names_run.tokenizer.encode
    monkeypatch.setattr(names_run.tokenizer, "encode", lambda text: encode(text.strip()))

    evaluation = names_run.evaluate_text("name 1", " ", "name 22")

    assert (evaluation.tokens, evaluation.ends, evaluation.size) == (expected.tokens, 2, expected.size)
    for measure in (names_run.evaluate_text, names_run.score):
        with pytest.raises(TextError, match="empty"):
            measure(" ")


@pytest.fixture
def short(corpus):
    """The beginning of the corpus in a file."""
    path = corpus.with_name("short.txt")
    path.write_text(corpus.read_text("utf-8")[:1500], "utf-8")
    return path


@pytest.mark.slow
def test_evaluate_with_dynamic_has_static_and_dynamic_figures(run, short):
    static = run.evaluate(short, sequential=True)

    found = run.evaluate(short, dynamic="all", cache=True)

    assert static.dynamic is None
    assert found.nats_per_token == pytest.approx(static.nats_per_token, rel=1e-6)
    assert found.dynamic.bits_per_byte < found.bits_per_byte


@pytest.mark.slow
def test_adapt_returns_a_run_that_has_learned_and_changes_nothing_else(run, short):
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    static = run.evaluate(short).nats

    adapted = run.adapt(short)

    assert adapted.evaluate(short).nats < static
    assert run.evaluate(short).nats == static
    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before
    assert adapted.diverged == {}


@pytest.mark.slow
def test_tuned_constants_are_taken_by_evaluate(run, short, monkeypatch):
    monkeypatch.setattr("seqgen.evaluation.adaptation.tune.WEIGHTS", {"rate": (2.0,)})

    constants = run.tune(short, dynamic="weights")

    assert run.evaluate(short, dynamic="weights", adaptation=constants).dynamic.constants == constants


def test_choices_cost_what_score_says_of_the_whole_text(run):
    prompt, words = "The old", ["king", "child", "moon"]

    found = run.choices(prompt, words)

    for one in found:
        scores = run.score(f"{prompt} {one.text}")
        assert one.token_nats == pytest.approx(scores.nats[len(prompt) :].sum())
    assert sum(one.share for one in found) == pytest.approx(1)
    assert [one.tokens for one in run.choices(prompt, words, space=False)] == [4, 5, 4]
