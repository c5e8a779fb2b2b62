"""A run that was interrupted and resumed is bit-identical to one that was not."""

from __future__ import annotations

import json
import math
from functools import partial

import pytest
import torch

import seqgen
from seqgen.training.learner import Learner

from ..comparing import assert_same_run
from .interruptions import INTERRUPTIONS, MODELS, TOKENIZERS, TRANSLATORS, interrupt

SAMPLING = {"num_samples": 2, "max_new_tokens": 20, "seed": 1}


@pytest.fixture
def poison(monkeypatch):
    """Make every logit NaN at these steps (from 0), in any run."""
    healthy = Learner.step

    def poison(*steps):
        def step(learner, number):
            if number not in steps:
                return healthy(learner, number)
            hook = learner.model.register_forward_hook(lambda model, inputs, out: (out[0] * math.nan, *out[1:]))
            try:
                return healthy(learner, number)
            finally:
                hook.remove()

        monkeypatch.setattr(Learner, "step", step)

    return poison


@pytest.fixture
def assert_resumes_exactly(corpus, pairs, tmp_path):
    """Assert that a run of these settings is the same with these interruptions as without."""

    def written(path):
        run = seqgen.load(path)
        if run.config.data.has_pairs:
            return list(run.translations(["123", "4"], beam=2))
        return run.samples("The ", **SAMPLING)

    def check(settings, *interruptions):
        text = pairs if "task" in settings else corpus
        straight = seqgen.train(text, out=tmp_path / "straight", **settings)
        *_, finished = straight
        expected = written(straight.path)
        for number, interruption in enumerate(interruptions):
            resume = partial(seqgen.train, out=tmp_path / str(number), resume=True)
            start = partial(seqgen.train, text, out=tmp_path / str(number), **settings)
            for how, at in (one.split() for one in interruption.split(", ")):
                run = interrupt(start, how, int(at))
                if start is resume:
                    assert run.notices == []
                start = resume
            run = resume()
            assert run.notices == []
            assert run.first_step < finished.step
            assert list(run)[-1].reason == finished.reason

            assert_same_run(run.path, straight.path)
            assert written(run.path) == expected
        return finished

    return check


def test_resume_is_exact_wherever_the_run_is_interrupted(assert_resumes_exactly):
    assert_resumes_exactly(MODELS["lstm"], *INTERRUPTIONS.values())


@pytest.mark.parametrize("model", [name for name in MODELS if name not in {"lstm", "gru", "rope", "sinusoidal"}])
def test_resume_is_exact_for_other_cells(assert_resumes_exactly, model):
    assert_resumes_exactly(MODELS[model], "stop 3, kill 5, stop 7")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [name if name in {"lstm-translate", "gru-translate"} else pytest.param(name, marks=pytest.mark.slow)
     for name in TRANSLATORS],
)  # fmt: skip
def test_resume_is_exact_for_encoder_decoders(assert_resumes_exactly, name):
    assert_resumes_exactly(TRANSLATORS[name], "stop 3, kill 5, stop 7")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "tokenizer", "settings"),
    [
        ("gru", "byte", {"precision": "bf16", "tie_weights": True}),
        ("rope", "word", {"optimizer": "adamw", "save_every": 1e-9}),  # a save after each step
        ("sinusoidal", "unigram", {"valid_split": "tail", "schedule": "cosine", "seed": 7, "precision": "bf16"}),
        ("gru", "bpe", {"optimizer": "muon", "valid_split": "none"}),
    ],
    ids=str,
)
def test_resume_is_exact_for_pairs_of_settings(assert_resumes_exactly, model, tokenizer, settings):
    assert_resumes_exactly({**MODELS[model], **TOKENIZERS[tokenizer], **settings}, "kill 2, stop 4")


def test_resume_is_exact_with_patience(assert_resumes_exactly):
    settings = {**MODELS["gru"], "lr": 3.0, "schedule": "constant", "eval_every": 2, "patience": 2}

    finished = assert_resumes_exactly(settings, "stop 0, kill 2, stop 4, kill 5")

    assert (finished.reason, finished.step) == ("patience", 6)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["gru", pytest.param("rope", marks=pytest.mark.slow)])
def test_resume_is_exact_with_skipped_steps(assert_resumes_exactly, poison, model):
    poison(1, 3, 4, 6)

    assert_resumes_exactly(MODELS[model], "stop 2, kill 4, stop 5, kill 7")


@pytest.mark.campaign
@pytest.mark.parametrize(
    "settings", [{"precision": "bf16", "optimizer": "adamw"}, {"tie_weights": True}, {"save_every": 1e-9}], ids=str
)
@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@pytest.mark.parametrize("model", MODELS)
def test_resume_is_exact_for_every_combination(assert_resumes_exactly, poison, model, tokenizer, settings):
    poison(2, 6)

    assert_resumes_exactly({**MODELS[model], **TOKENIZERS[tokenizer], **settings}, *INTERRUPTIONS.values())


@pytest.mark.parametrize("model", ["lstm", "sinusoidal"])
def test_same_run_twice_is_identical(corpus, tmp_path, model):
    paths = []
    for number in range(2):
        torch.manual_seed(number)  # the caller's random state has no effect
        paths.append(seqgen.train(corpus, out=tmp_path / str(number), **MODELS[model]).run().path)

    assert_same_run(*paths)


def test_environment_and_threads_are_recorded(corpus, tmp_path):
    run = seqgen.train(corpus, out=tmp_path / "run", **MODELS["gru"])
    run.close()

    environment = json.loads((run.path / "config.json").read_text("utf-8"))["environment"]

    assert environment.keys() == {"python", "torch", "platform", "device", "precision"}
    assert environment["torch"] == torch.__version__
    state = json.loads((run.path / "checkpoints" / "step-000000" / "state.json").read_text("utf-8"))
    assert [stage["threads"] for stage in state["plan"]["stages"]] == [torch.get_num_threads()]
