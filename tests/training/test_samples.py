"""Short samples of a model in training."""

from __future__ import annotations

from seqgen.training import samples
from seqgen.training.samples import generate_sample

SAMPLE_TOKENS = samples.SAMPLE_TOKENS  # before the tests shorten the samples


def test_samples_have_160_tokens_or_fit_the_positions(make_learner, monkeypatch):
    monkeypatch.setattr(samples, "SAMPLE_TOKENS", SAMPLE_TOKENS)
    learner, corpus = make_learner("gru")
    assert len(generate_sample(learner.model, corpus.tokenizer, 0)) == 160

    learner, corpus = make_learner("transformer", positions="sinusoidal", block_size=16)
    assert len(generate_sample(learner.model, corpus.tokenizer, 0)) == 16
    assert len(generate_sample(learner.model, corpus.tokenizer, 0, ".\n")) == 14


def test_sample_of_pairs_has_four_sources_evenly_spaced_and_what_was_written(make_learner, tmp_path):
    pairs = "".join(f"{number}\t{number}\n" for number in range(100, 200))
    learner, corpus = make_learner("gru-translate", pairs, valid_split="none")

    lines = corpus.write_sample(learner.model, 0).split("\n")

    assert [line.split(" -> ")[0] for line in lines] == ["100", "133", "166", "199"]


def test_sample_of_pairs_shows_those_of_the_validation_part(make_learner):
    pairs = "".join(f"{number}\t{number}\n" for number in range(100, 200))
    learner, corpus = make_learner("gru-translate", pairs, valid_share=0.02)

    lines = corpus.write_sample(learner.model, 0).split("\n")

    assert [line.split(" -> ")[0] for line in lines] == ["142", "187"]
