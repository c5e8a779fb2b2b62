"""Runs that are fitted in one pass."""

from __future__ import annotations

import json
import math

import pytest
import torch

import seqgen
import seqgen.models.ngram.model as ngram
from seqgen.errors import ConfigError, RunError, SaveError
from seqgen.runs.directory import RunDirectory
from seqgen.runs.summary import summarize
from seqgen.training.metrics import read_metrics

from ..comparing import config_of
from ..small_runs import GRU

NGRAM = {"cell": "ngram", "order": 4}


@pytest.fixture
def fitted(corpus, tmp_path):
    """A fitted run."""
    training = seqgen.train(corpus, out=tmp_path / "run", **NGRAM)
    list(training)
    return training.path


def test_events_are_those_of_one_pass_and_recorded(corpus, tmp_path):
    training = seqgen.train(corpus, out=tmp_path / "run", **NGRAM)
    assert (training.model.config, training.plan, training.first_step) == (training.config.model, None, 0)

    events = list(training)

    assert [type(event).__name__ for event in events] == ["Fitted", "Evaluated", "Sampled", "Saved", "Finished"]
    fitted, evaluated, sampled, _, finished = events
    assert len(fitted.sizes) == 4
    assert fitted.sizes[0] < fitted.sizes[1] < fitted.sizes[2]
    assert sampled.text
    assert (finished.reason, finished.step, finished.best_bits_per_byte) == ("complete", 1, evaluated.bits_per_byte)
    assert [line["event"] for line in read_metrics(tmp_path / "run" / "metrics.jsonl")] == [
        "fitted", "evaluated", "sampled", "saved", "finished",
    ]  # fmt: skip


def test_fitted_run_scores_as_it_was_evaluated(fitted, corpus):
    run = seqgen.load(fitted)
    directory = RunDirectory(fitted)

    report = run.evaluate_documents(run.validation_texts())

    summary = summarize(directory, directory.read_config())
    assert report.bits_per_byte == pytest.approx(summary.best_bits_per_byte, rel=1e-12)
    assert report.nats_per_token < math.log(20)
    assert (summary.cell, summary.shape, summary.state) == ("ngram", "order 4", "complete")
    assert (summary.steps, summary.total_steps, summary.best_step) == (1, 1, 1)
    assert len(run.generate(max_new_tokens=20)) == 20


def test_only_the_training_part_is_counted(corpus, tmp_path):
    models = []
    for name in ("as it is", "backwards"):
        run = seqgen.train(corpus, out=tmp_path / name, valid_split="tail", **NGRAM).run()
        models.append(run.model.stored_tensors())
        text = corpus.read_text("utf-8")
        corpus.write_text(text[:-100] + text[-100:][::-1], "utf-8")

    assert all(torch.equal(tensor, models[1][name]) for name, tensor in models[0].items())


def test_order_is_chosen_before_config_json_is_written(corpus, tmp_path):
    training = seqgen.train(corpus, out=tmp_path / "run", cell="ngram")

    order = config_of(training.path)["model"]["order"]
    assert order == training.config.model.order >= 2
    assert training.run().model.config.order == order


def test_config_records_only_what_a_fit_uses(fitted):
    assert config_of(fitted)["training"] == {"max_time": None, "seed": 0, "device": "cpu", "threads": None}


def test_same_run_has_the_same_bytes(corpus, fitted, tmp_path):
    other = seqgen.train(corpus, out=tmp_path / "other", max_time="9s", threads=1, **NGRAM)
    list(other)

    assert (other.path / "model.safetensors").read_bytes() == (fitted / "model.safetensors").read_bytes()


@pytest.mark.parametrize("name", ["lr", "bptt", "batch_size", "optimizer", "max_steps", "precision", "heads"])
def test_settings_without_effect_are_refused_by_name(corpus, in_tmp, name):
    value = {"lr": 0.1, "optimizer": "muon", "precision": "fp32"}.get(name, 4)
    with pytest.raises(ConfigError, match=rf"^{name}: .*ngram"):
        seqgen.train(corpus, **NGRAM, **{name: value})
    assert not (in_tmp / "runs").exists()


def test_weights_and_plans_of_other_runs_are_refused(corpus, fitted, tmp_path):
    for name in ("init_from", "plan_from"):
        with pytest.raises(ConfigError, match=f"^{name}: .*ngram"):
            seqgen.train(corpus, out=tmp_path / "new", **NGRAM, **{name: fitted})
    with pytest.raises(ConfigError, match=r"^init_from: .*ngram"):
        seqgen.train(corpus, out=tmp_path / "new", init_from=fitted, max_steps=1)
    with pytest.raises(RunError, match="no checkpoint"):
        seqgen.train(corpus, out=tmp_path / "new", plan_from=fitted, cell="gru")
    assert not (tmp_path / "new").exists()


def test_complete_fit_is_not_resumed(fitted):
    with pytest.raises(RunError, match="complete"):
        seqgen.train(out=fitted, resume=True)


@pytest.mark.parametrize("after", ["prepared", "stopped", "fitted"])
def test_interrupted_fit_is_fitted_again(corpus, fitted, tmp_path, after):
    training = seqgen.train(corpus, out=tmp_path / "killed", stop=lambda: after == "stopped", **NGRAM)
    if after == "fitted":
        next(iter(training))
    elif after == "stopped":
        (finished,) = training
        assert (finished.reason, finished.step, finished.best_bits_per_byte) == ("stopped", 0, None)
    training.close()
    with pytest.raises(RunError, match="no weights yet"):
        seqgen.load(training.path)

    resumed = seqgen.train(out=training.path, resume=True)
    list(resumed)

    assert (training.path / "model.safetensors").read_bytes() == (fitted / "model.safetensors").read_bytes()
    assert next(read_metrics(training.path / "metrics.jsonl"))["event"] == "fitted"


def test_resume_refuses_another_text(corpus, tmp_path):
    training = seqgen.train(corpus, out=tmp_path / "run", **NGRAM)
    training.close()
    corpus.write_text(corpus.read_text("utf-8").replace("river", "stream"), "utf-8")

    with pytest.raises(RunError, match=r"corpus\.txt is not the text"):
        seqgen.train(out=training.path, resume=True)


def test_resume_refuses_another_order_and_settings_of_others(corpus, tmp_path):
    training = seqgen.train(corpus, out=tmp_path / "run", **NGRAM)
    training.close()

    with pytest.raises(ConfigError, match="order is 4, not 5"):
        seqgen.train(out=training.path, resume=True, order=5)
    with pytest.raises(ConfigError, match=r"lr: .*ngram"):
        seqgen.train(out=training.path, resume=True, lr=0.1)


@pytest.mark.parametrize(("memory", "named"), [("20K", "0.0 GiB"), ("1.5x", "'1.5x'"), (-1, "-1"), ("", "''")])
def test_memory_below_the_need_or_impossible_is_refused(corpus, tmp_path, memory, named):
    with pytest.raises(ConfigError, match=rf"memory.*{named}|{named}.*memory"):
        seqgen.train(corpus, out=tmp_path / "run", memory=memory, **NGRAM)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("memory", "size"), [("500M", 500 << 20), ("2G", 2 << 30), ("1.5g", 3 << 29), (1 << 30, 1 << 30)]
)
def test_memory_is_passed_to_the_fit_and_not_recorded(corpus, tmp_path, monkeypatch, memory, size):
    passed, exact = [], ngram.fit_tables
    monkeypatch.setattr(ngram, "fit_tables", lambda *args, **kw: passed.append(kw["memory"]) or exact(*args, **kw))

    training = seqgen.train(corpus, out=tmp_path / "run", memory=memory, **NGRAM)
    training.close()
    seqgen.train(out=training.path, resume=True, memory=memory).close()
    seqgen.train(corpus, out=tmp_path / "both", memory=memory, cell="gru+ngram", max_steps=1).close()

    assert passed == [size] * 3
    assert "memory" not in config_of(training.path)["training"]


def test_memory_is_refused_where_nothing_is_fitted(corpus, tmp_path):
    with pytest.raises(ConfigError, match=r"^memory: .*gru"):
        seqgen.train(corpus, out=tmp_path / "run", memory="2G", **GRU)
    training = seqgen.train(corpus, out=tmp_path / "run", **GRU)
    training.close()
    with pytest.raises(ConfigError, match=r"^memory: .*gru"):
        seqgen.train(out=training.path, resume=True, memory="2G")


def test_fit_that_is_refused_leaves_no_directory(corpus, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise ConfigError("order: this takes more memory than allowed")

    monkeypatch.setattr("seqgen.models.ngram.model.fit_tables", refuse)

    with pytest.raises(ConfigError, match="memory"):
        seqgen.train(corpus, out=tmp_path / "run", **NGRAM)
    assert not (tmp_path / "run").exists()


def test_full_disk_loses_no_older_model_and_is_reported(corpus, tmp_path, monkeypatch):
    def fail(path, content):
        raise SaveError(f"{path} could not be written")

    monkeypatch.setattr("seqgen.runs.fit.write_atomically", fail)
    training = seqgen.train(corpus, out=tmp_path / "run", **NGRAM)

    with pytest.raises(SaveError, match=r"model\.safetensors"):
        list(training)


def test_without_validation_part_nothing_is_scored(corpus, tmp_path):
    training = seqgen.train(corpus, out=tmp_path / "run", valid_split="none", **NGRAM)
    assert training.notices == []

    events = list(training)

    assert not any(isinstance(event, seqgen.Evaluated) for event in events)
    assert events[-1].best_step is None


def test_documents_end_by_themselves(corpus, tmp_path):
    run = seqgen.train(corpus, out=tmp_path / "run", documents="line", **NGRAM).run()

    texts = run.complete([""], num_samples=20, max_new_tokens=200)

    assert {text.finish_reason for text in texts} == {"stop"}


@pytest.mark.parametrize("settings", [{"tokenizer": "byte"}, {"tokenizer": "bpe", "vocab_size": 300}])
def test_every_kind_of_tokenizer_is_fitted(corpus, tmp_path, settings):
    run = seqgen.train(corpus, out=tmp_path / "run", **settings, **NGRAM).run()

    assert run.evaluate_documents(run.validation_texts()).bits_per_byte < 4


def test_fitted_and_trained_runs_refuse_each_others_training_settings(fitted, corpus, tmp_path):
    """A config.json whose training settings are those of another family was edited."""
    trained = seqgen.train(corpus, out=tmp_path / "gru", **GRU)
    trained.close()
    config = config_of(fitted) | {"training": config_of(trained.path)["training"]}
    (fitted / "config.json").write_text(json.dumps(config), "utf-8")

    with pytest.raises(RunError, match=r"training: .*ngram"):
        seqgen.load(fitted)
