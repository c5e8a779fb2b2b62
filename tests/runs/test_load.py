"""The library's face of a trained run: load, generate, stream, samples, evaluate, withheld."""

from __future__ import annotations

import json
import math
import shutil

import pytest
import torch

import seqgen
from seqgen.errors import ConfigError, RunError, TextError
from seqgen.generation.generate import sample

SMALL = {"hidden_size": 16, "max_steps": 5, "eval_every": 5, "batch_size": 8, "precision": "fp32"}


@pytest.fixture(scope="module")
def _workshop(tmp_path_factory):
    return tmp_path_factory.mktemp("workshop")


@pytest.fixture
def run(corpus, _workshop):
    """A small gru's run, trained once a file and loaded afresh."""
    if not (_workshop / "run").exists():
        (_workshop / "corpus.txt").write_bytes(corpus.read_bytes())
        seqgen.train(_workshop / "corpus.txt", out=_workshop / "run", cell="gru", **SMALL).run()
    return seqgen.load(_workshop / "run")


def test_a_run_is_a_plain_model_a_tokenizer_and_a_config(run):
    assert isinstance(run.model, torch.nn.Module)
    assert not run.model.training
    assert run.tokenizer.decode(run.tokenizer.encode("The old king")) == "The old king"
    assert run.config.model.hidden_size == 16


def test_a_stream_in_pieces_is_the_text(run):
    text = run.generate("The ", max_new_tokens=50, seed=3)

    pieces = list(run.generate("The ", max_new_tokens=50, seed=3, stream=True))

    assert "".join(pieces) == text
    assert len(pieces) > 10
    assert len(text) == 50


def test_a_seed_is_a_text_whatever_torchs_own_random_state(run):
    text = run.generate(max_new_tokens=50, seed=3)
    torch.manual_seed(99)
    before = torch.get_rng_state()

    assert run.generate(max_new_tokens=50, seed=3) == text
    seqgen.load(run.path)
    assert torch.equal(torch.get_rng_state(), before)
    assert run.generate(max_new_tokens=50, seed=4) != text


def test_samples_are_what_generate_gives_and_no_sample_depends_on_the_others(run):
    samples = run.samples("The ", num_samples=3, max_new_tokens=50)

    assert samples[0] == run.generate("The ", max_new_tokens=50)
    assert run.samples("The ", num_samples=2, max_new_tokens=50) == samples[:2]
    assert len(set(samples)) == 3


def test_without_a_prompt_samples_begin_as_the_lines_of_the_text_do(corpus, tmp_path):
    settings = {"hidden_size": 32, "bptt": 32, "batch_size": 16, "lr": 0.03, "warmup_steps": 5, "max_steps": 150}
    training = seqgen.train(corpus, out=tmp_path / "run", cell="gru", eval_every=150, precision="fp32", **settings)
    (shown,) = [event.text for event in training if isinstance(event, seqgen.Sampled)]
    run = seqgen.load(tmp_path / "run")
    starts = {line[:3] for line in corpus.read_text("utf-8").splitlines()}

    texts = run.samples(num_samples=200, max_new_tokens=3)

    assert sum(text in starts for text in texts) >= 190
    assert run.generate(max_new_tokens=3) == texts[0] == shown[:3]  # by the seed that the run has too
    assert run.samples(".\n", num_samples=200, max_new_tokens=3) == texts


def test_a_run_on_documents_begins_after_0_alone(corpus, tmp_path):
    shutil.copy(corpus, tmp_path / "other.txt")
    run = seqgen.train([corpus, tmp_path / "other.txt"], out=tmp_path / "run", cell="gru", **SMALL).run()
    logits, _ = run.model(torch.tensor([[0]]))

    text = run.generate(max_new_tokens=1, temperature=0)

    assert text == run.tokenizer.decode([int(logits[0, -1, 2:].argmax()) + 2])


def test_either_engine_writes_the_same_text(run):
    pytest.importorskip("numba")
    settings = {"max_new_tokens": 60, "seed": 2}

    assert run.generate("The ", engine="numba", **settings) == run.generate("The ", **settings)
    assert run.samples("The ", num_samples=2, engine="numba", **settings)[0] == run.generate("The ", **settings)


def test_an_impossible_setting_is_said_before_anything_is_made(run):
    with pytest.raises(ConfigError, match="temprature: there is no such setting"):
        run.generate(temprature=1.0, stream=True)
    with pytest.raises(ConfigError, match="num_samples"):
        run.samples(num_samples=0)
    with pytest.raises(ConfigError, match="stride"):
        run.evaluate_text("text", stride=3)


def test_an_evaluation_is_of_the_whole_text(run, corpus):
    progress: list[tuple[int, int]] = []
    report = run.evaluate(corpus)

    again = run.evaluate_text(corpus.read_text("utf-8"), progress=lambda *told: progress.append(told))

    assert again == report
    assert report.tokens == len(corpus.read_text("utf-8"))
    assert progress == sorted(progress)
    assert progress[-1] == (report.tokens, report.tokens)
    assert {total for _, total in progress} == {report.tokens}
    assert report.bits_per_byte == pytest.approx(report.nats / math.log(2) / report.size.bytes)
    assert report.perplexity == pytest.approx(math.exp(report.nats_per_token))


def test_documents_begin_afresh(run):
    first, second = run.evaluate_text("The old king"), run.evaluate_text("No one")

    both = run.evaluate_text("The old king", "No one")

    assert both.tokens == 18
    assert both.nats == pytest.approx(first.nats + second.nats, rel=1e-5)


def test_what_cannot_be_evaluated(run, tmp_path):
    (tmp_path / "empty.txt").touch()

    with pytest.raises(TextError, match="is empty"):
        run.evaluate(tmp_path / "empty.txt")
    with pytest.raises(TextError, match="no such file"):
        run.evaluate(tmp_path / "gone.txt")


def test_a_text_is_evaluated_as_it_is_read(run, tmp_path):
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
    with pytest.raises(ConfigError, match="strid: there is no such setting"):
        run.evaluate(tmp_path / "king.log", errors="ignore", strid=3)


def test_the_withheld_part_is_what_training_validated_on(run):
    text = run.validation_texts()

    assert sum(map(len, text)) == run.config.text.valid_tokens
    assert run.evaluate_text(*text).nats_per_token < math.log(run.tokenizer.vocab_size)


def test_the_withheld_part_of_a_text_that_changed_is_gone(corpus, tmp_path):
    run = seqgen.train(corpus, out=tmp_path / "run", cell="gru", **SMALL).run()
    corpus.write_text(corpus.read_text("utf-8") + "More.\n", "utf-8")

    with pytest.raises(RunError, match="not the text that this run was started on"):
        run.validation_texts()


def test_what_a_run_learnt_from_is_its_text_less_what_it_withheld(run, corpus):
    learnt, text = ["".join(part) for part in run.training_texts()], corpus.read_text("utf-8")

    assert sum(map(len, (*learnt, *run.validation_texts()))) == len(text)
    assert all(part in text for part in learnt)
    assert run.has_training_texts(text)
    assert not run.has_training_texts(text[:-1])


def test_novelty_is_against_what_was_learnt(run):
    *_, last = map("".join, run.training_texts())
    copied = last[-50:]

    found = run.memorization(f"§{copied}§")

    assert (found.longest_copy, found.start, found.copied_share) == (copied, 1, 50 / 52)
    assert run.memorization("§").longest_copy == ""


def test_a_run_that_withheld_nothing_says_so(corpus, tmp_path):
    run = seqgen.train(corpus, out=tmp_path / "run", cell="gru", valid_split="none", **SMALL).run()

    with pytest.raises(RunError, match="withheld nothing"):
        run.validation_texts()


def test_sinusoidal_positions_end_and_evaluation_falls_back_to_windows(corpus, tmp_path):
    settings = {"cell": "transformer", "heads": 2, "layers": 1, "block_size": 32, "positions": "sinusoidal"}
    run = seqgen.train(corpus, out=tmp_path / "run", **settings, **SMALL).run()

    assert run.evaluate(corpus).context == "windows of 32 tokens, stride 32"
    for settings in ({"sequential": True}, {"context_window": 33}):
        with pytest.raises(ConfigError, match="32 sinusoidal positions"):
            run.evaluate(corpus, **settings)
    assert len(run.generate("The ", max_new_tokens=28)) == 28
    with pytest.raises(ConfigError, match="at most 28"):
        run.generate("The ", max_new_tokens=29)


def test_a_run_can_be_moved(run, corpus, tmp_path):
    moved = seqgen.load(run.path.rename(tmp_path / "moved"))
    try:
        assert moved.generate(max_new_tokens=5) == run.generate(max_new_tokens=5)
        assert moved.evaluate(corpus) == run.evaluate(corpus)
    finally:
        moved.path.rename(run.path)


def test_what_is_no_run_and_what_is_no_device(run, tmp_path):
    with pytest.raises(RunError, match="no such run"):
        seqgen.load(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="'warp'"):
        seqgen.load(run.path, device="warp")


def test_stops_are_one_string_or_any_sequence(run):
    text = run.generate(max_new_tokens=50)
    stop = text[20:22]
    expected = text[: text.find(stop)]

    for stops in (stop, [stop], (stop, "never in it"), iter([stop])):
        assert run.generate(max_new_tokens=50, stop=stops) == expected
    with pytest.raises(ConfigError, match="stop"):
        run.generate(stop=[3])


def test_a_stream_beyond_the_positions_is_refused_before_it_is_read(corpus, tmp_path):
    settings = {"cell": "transformer", "heads": 2, "layers": 1, "block_size": 32, "positions": "sinusoidal"}
    run = seqgen.train(corpus, out=tmp_path / "run", **settings, **SMALL).run()

    with pytest.raises(ConfigError, match="at most 28"):
        run.generate("The ", max_new_tokens=29, stream=True)


@pytest.mark.parametrize("change", [{"training": {"seed": 1}}, {"model": {"gru_reset": "before"}}])
def test_neither_anothers_weights_nor_a_changed_model_are_taken_for_the_runs(run, tmp_path, change):
    other = shutil.copytree(run.path, tmp_path / "other")
    config = json.loads((other / "config.json").read_text("utf-8"))
    for part, values in change.items():
        config[part] |= values
    (other / "config.json").write_text(json.dumps(config), "utf-8")

    with pytest.raises(RunError, match=r"model\.safetensors .* config\.json"):
        seqgen.load(other)


@pytest.mark.parametrize("engine", ["torch", "numba"])
def test_threads_that_are_named_are_used_and_the_callers_come_back(run, monkeypatch, engine):
    seen = []
    loaded = seqgen.load(run.path, threads=2)
    monkeypatch.setattr(
        "seqgen.generation.generate.sample", lambda *given: seen.append(torch.get_num_threads()) or sample(*given)
    )

    for _ in loaded.generate(stream=True, max_new_tokens=5, engine=engine):
        assert torch.get_num_threads() == 1
    loaded.evaluate_text("The old king paints the rain.\n" * 20)

    assert set(seen) == {2}
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize("threads", [0, -1, 10**13])
def test_a_number_of_threads_that_cannot_be_is_refused(run, threads):
    with pytest.raises(ConfigError, match=f"threads: .*not {threads}"):
        seqgen.load(run.path, threads=threads)
