from __future__ import annotations

import numpy as np
import pytest
import torch

import seqgen
from seqgen.errors import ConfigError, TextError
from seqgen.inspection import trace
from seqgen.inspection.trace import cut_tokens, fit_positions, neural_part, part_name, trace_text

TEXT = "The sailor watches the river.\nA child"


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru", "transformer", "window"])
def test_trace_text_has_a_value_for_each_token(make_run, corpus, cell):
    run = make_run(corpus, cell)
    ids = run.tokenizer.encode(TEXT)

    found = trace_text(run, TEXT, "hidden")

    whole = run.model.trace(torch.tensor([[0, *ids.tolist()]]), starts=torch.arange(len(ids) + 1)[None] == 0)
    assert "".join(found.tokens) == TEXT
    assert found.ids.tolist() == ids.tolist()
    assert found.values.keys() == {"hidden"}
    np.testing.assert_allclose(found.values["hidden"], whole["hidden"][0, 1:].detach(), atol=1e-5)


@pytest.mark.parametrize("cell", ["lstm", "transformer"])
def test_trace_text_carries_the_state_between_chunks(make_run, corpus, cell, monkeypatch):
    run = make_run(corpus, cell)
    whole = trace_text(run, TEXT, "hidden").values["hidden"]
    monkeypatch.setattr(trace, "CHUNK", 7)

    np.testing.assert_allclose(trace_text(run, TEXT, "hidden").values["hidden"], whole, atol=1e-5)


def test_trace_text_keeps_the_names_that_match_a_pattern(make_run, corpus):
    run = make_run(corpus, "lstm", layers=2)

    found = trace_text(run, TEXT, "layers.*.cell", "layers.1.forget")

    assert found.values.keys() == {"layers.0.cell", "layers.1.cell", "layers.1.forget"}
    assert all(value.shape == (len(TEXT), 16) for value in found.values.values())


def test_trace_text_refuses_an_empty_text_and_one_longer_than_the_positions(make_run, corpus):
    with pytest.raises(TextError, match="empty"):
        trace_text(make_run(corpus, "gru"), "", "hidden")
    run = make_run(corpus, "transformer", positions="sinusoidal", block_size=16)
    with pytest.raises(TextError, match="15"):
        trace_text(run, TEXT, "hidden")


@pytest.mark.parametrize("settings", [{}, {"tokenizer": "byte"}], ids=["characters", "bytes"])
def test_fit_positions_cuts_documents_into_parts_that_the_model_reads(make_run, corpus, settings):
    run = make_run(corpus, "transformer", positions="sinusoidal", block_size=16, **settings)

    parts = fit_positions(run, ["", TEXT, "한글 paints the moon"])

    assert "".join(parts) == f"{TEXT}한글 paints the moon"
    assert all(0 < len(run.tokenizer.encode(part)) <= 15 for part in parts)
    assert len(parts) <= (5 if not settings else 7)
    whole = make_run(corpus, "gru")
    assert fit_positions(whole, ["", TEXT]) == [TEXT]


def test_neural_part_of_a_mixture_is_the_member_with_hidden_states(make_run, corpus, tmp_path):
    run = make_run(corpus, "gru+ngram")
    part = neural_part(run)

    assert part.path == run.path / "members" / "gru"
    assert part.config.model.cell == "gru"
    assert part_name(run, part) == f"gru of {run.path}"
    assert part_name(run, part, "mixed") == "gru of mixed"
    assert part_name(part, part) == str(part.path)
    assert part.model is run.model.members["gru"]
    assert neural_part(run, "gru").model is part.model
    assert neural_part(make_run(corpus, "gru")).config.model.cell == "gru"
    with pytest.raises(ConfigError, match="ngram"):
        neural_part(run, "ngram")
    with pytest.raises(ConfigError, match="rnn, gru"):
        neural_part(make_run(corpus, "rnn+gru"))
    seqgen.train(corpus, out=tmp_path / "ngram", cell="ngram").run()
    with pytest.raises(ConfigError, match="no hidden states"):
        neural_part(seqgen.load(tmp_path / "ngram"))


def test_cut_tokens_returns_the_text_itself_or_its_first_tokens(make_run, corpus, monkeypatch):
    run = make_run(corpus, "gru")

    assert cut_tokens(run, "abc", 3) == "abc"
    assert cut_tokens(run, "abc", 2) == "ab"
    monkeypatch.setattr(trace, "LONGEST_TOKEN", 1)
    assert cut_tokens(run, "abc" * 99, 4) == "abca"
