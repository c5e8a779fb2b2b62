from __future__ import annotations

import numpy as np
import pytest
import torch

import seqgen
from seqgen.errors import ConfigError, TextError
from seqgen.inspection import attention
from seqgen.inspection.attention import HeadFigures, measure_attention

TEXT = "The sailor watches the river.\nA child"
TWO_LAYERS = {"layers": 2, "heads": 2, "block_size": 80}


def test_measure_attention_returns_the_maps_of_the_trace(make_run, corpus):
    run = make_run(corpus, "transformer", **TWO_LAYERS)
    tokens = torch.tensor([[0, *run.tokenizer.encode(TEXT).tolist()]])

    found = measure_attention(run, TEXT)

    trace = run.model.eval().trace(tokens, starts=tokens == 0)
    assert found.tokens == list(TEXT)
    assert (found.unknown, found.is_cut) == ([], False)
    assert found.weights.shape == (2, 2, len(TEXT), 1 + len(TEXT))
    for layer in range(2):
        expected = trace[f"layers.{layer}.attention"][0, 1:].transpose(0, 1).detach()
        np.testing.assert_allclose(found.weights[layer], expected, atol=1e-5)


def test_figures_of_equal_weights_are_those_of_the_formulas(make_run, corpus):
    run = make_run(corpus, "transformer", **TWO_LAYERS)
    with torch.no_grad():
        for block in run.model.blocks:
            block.query.weight.zero_()  # all scores are 0, so a token attends to all before it equally
    size = len(TEXT)
    seen = np.arange(2, size + 2)  # the boundary, the tokens before it, and itself
    length = len(set(corpus.read_text("utf-8")))  # as many random tokens as the vocabulary has without <unk>
    again = 1 / np.arange(2, 2 * length + 2)

    found = measure_attention(run, TEXT)

    assert found.repeated == length < 32
    for one in found.heads:
        assert one.distance == pytest.approx(np.mean((seen - 1) / 2), rel=1e-5)
        assert one.entropy == pytest.approx(np.log(seen).mean(), rel=1e-5)
        assert one.start == pytest.approx(np.mean(1 / seen), rel=1e-5)
        assert one.previous == pytest.approx(again[1:].mean(), rel=1e-5)
        assert one.induction == pytest.approx(again[length:].mean(), rel=1e-5)
    assert [(one.layer, one.head) for one in found.heads] == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_scores_are_1_for_heads_that_attend_by_repetition_and_by_place(make_run, corpus, monkeypatch):
    """The first head attends to the token after an earlier occurrence of the same, the second to the token before."""
    run = make_run(corpus, "transformer", **TWO_LAYERS)

    def trace(tokens, state=None, starts=None):
        rows, length = tokens.shape
        at = torch.arange(length)
        follows = torch.zeros(rows, length, length)
        follows[:, :, 1:] = (tokens[:, :, None] == tokens[:, None, :-1]) & (at[1:] <= at[:, None])
        before = (at[:, None] - 1 == at).float().expand(rows, -1, -1)
        return {"layers.0.attention": torch.stack([follows, before], 2)}

    monkeypatch.setattr(run.model, "trace", trace)
    first, second = measure_attention(run, "abc").heads

    assert (first.induction, first.previous, first.role) == (1, 0, "induction")
    assert (second.induction, second.previous, second.role) == (0, 1, "previous token")


def test_heads_are_ranked_and_named_by_their_higher_score(make_run, corpus):
    figures = {"distance": 1, "entropy": 1, "start": 0}
    low, place, both = (
        HeadFigures(0, head, **figures, previous=previous, induction=induction)
        for head, (previous, induction) in enumerate([(0.39, 0.1), (0.7, 0.2), (0.5, 0.8)])
    )

    assert [one.role for one in (low, place, both)] == ["", "previous token", "induction"]
    found = measure_attention(make_run(corpus, "transformer", **TWO_LAYERS), "abc")
    scores = [max(one.previous, one.induction) for one in found.ranked]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) == 4


def test_long_texts_are_cut_to_what_a_page_shows_and_positions_allow(make_run, corpus, monkeypatch):
    run = make_run(corpus, "transformer", **TWO_LAYERS)
    long = corpus.read_text("utf-8")
    assert len(measure_attention(run, long).tokens) == 128
    limited = measure_attention(make_run(corpus, "transformer", positions="sinusoidal", block_size=8), long)
    assert (limited.tokens, limited.repeated) == (list(long[:7]), 3)

    monkeypatch.setattr(attention, "MOST_WEIGHTS", 2 * 3 * 10**2)
    found = measure_attention(run, long)
    assert (found.tokens, found.is_cut) == (list(long[:10]), True)
    assert not measure_attention(run, long[:10]).is_cut


def test_unknown_tokens_keep_their_characters(make_run, corpus):
    found = measure_attention(make_run(corpus, "transformer", **TWO_LAYERS), "The é\n왕")

    assert found.tokens == list("The é\n왕")
    assert found.unknown == [4, 6]


def test_measure_attention_needs_a_transformer_and_a_text(make_run, corpus, tmp_path):
    mixture = make_run(corpus, "transformer+ngram", **TWO_LAYERS)
    assert measure_attention(mixture, "abc").weights.shape == (2, 2, 3, 4)
    with pytest.raises(TextError, match="empty"):
        measure_attention(mixture, "")
    with pytest.raises(ConfigError, match="gru, which has no attention"):
        measure_attention(make_run(corpus, "gru"), "abc")
    seqgen.train(corpus, out=tmp_path / "ngram", cell="ngram").run()
    with pytest.raises(ConfigError, match="ngram"):
        measure_attention(seqgen.load(tmp_path / "ngram"), "abc")
