"""The n-gram model as a language model, and as a file."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from seqgen import models
from seqgen.errors import RunError
from seqgen.models.base import IGNORED
from seqgen.models.config import NgramConfig
from seqgen.models.ngram.fit import FALLBACK, fit_tables
from seqgen.models.ngram.model import default_order, fit
from seqgen.models.skeleton import skeleton
from seqgen.models.weights import check_weights, load_weights, to_bytes
from seqgen.tokenizers.config import TokenizerKind

from .plain import random_corpus


def fitted_model(order: int | None = 4, seed: int = 7, **settings):
    corpus = random_corpus(seed, vocab_size=9, documents=8, longest=60)
    config = NgramConfig(order=order, min_count=settings.pop("min_count", 1))
    return fit(config, corpus.arrays, 9, tokenizer="char", models_ends=corpus.models_ends, **settings)


@pytest.fixture
def tokens():
    tokens = torch.randint(1, 9, (3, 20), generator=torch.Generator().manual_seed(1))
    tokens[:, 0] = tokens[1, 12] = 0
    return tokens


def test_nats_are_those_of_the_log_probs(tokens):
    model = fitted_model()
    targets = tokens.roll(-1, 1)
    targets[0, 5] = targets[2, 19] = IGNORED
    log_probs, end = model.log_probs(tokens)
    nats, state = model.nats(tokens, targets)

    expected = -log_probs.gather(2, targets.clamp(min=0).unsqueeze(2)).squeeze(2)
    torch.testing.assert_close(nats, expected.masked_fill(targets == IGNORED, 0.0), rtol=1e-12, atol=0)
    assert torch.equal(state.contexts, end.contexts)


@pytest.mark.parametrize("min_count", [1, 2])
def test_saved_model_is_loaded_whole(tmp_path, tokens, min_count):
    model = fitted_model(min_count=min_count)
    path = tmp_path / "model.safetensors"
    path.write_bytes(to_bytes(model.stored_tensors(), "run"))
    check_weights(skeleton(model.config, 9), path)
    loaded = models.build(model.config, 9)
    load_weights(loaded, path, "run")

    assert torch.equal(loaded.log_probs(tokens)[0], model.log_probs(tokens)[0])


@pytest.mark.parametrize("change", [{"order": 5}, {"order": 3}, {"min_count": 2}])
def test_file_of_another_config_is_refused(tmp_path, change):
    model = fitted_model()
    path = tmp_path / "model.safetensors"
    path.write_bytes(to_bytes(model.stored_tensors(), "run"))

    with pytest.raises(RunError, match="does not match"):
        check_weights(skeleton(model.config.model_copy(update=change), 9), path)


def test_file_has_at_most_16_bytes_for_each_ngram():
    for min_count in (1, 2):
        model = fitted_model(min_count=min_count)
        stored = sum(tensor.numel() * tensor.element_size() for tensor in model.stored_tensors().values())

        fixed = 8 * 3 * 4 + 1 + 4 * 4 + 12 * 9  # discounts, ends, last edges, unigrams that do not occur
        assert stored <= 16 * sum(model.tables.sizes) + fixed


def test_order_is_chosen_by_the_validation_part():
    other = random_corpus(27, vocab_size=9, documents=8, longest=60).arrays
    corpus = random_corpus(7, vocab_size=9, documents=8, longest=60)
    tables = fit_tables(corpus.arrays, 9, 10, models_ends=corpus.models_ends, validation=other)

    assert fitted_model(None, validation=other).config.order == tables.order
    assert fitted_model(None).config.order == default_order("char", len(corpus.arrays[0]))


@pytest.mark.parametrize("kind", ["char", "byte", "word", "unigram", "bpe"])
def test_default_order_grows_with_the_text(kind: TokenizerKind):
    orders = [default_order(kind, 10**digits) for digits in range(2, 9)]

    assert orders == sorted(orders)
    assert 3 <= orders[0] <= orders[-1] <= 8


def test_notice_says_which_orders_have_no_discounts_of_their_own():
    model = fitted_model(2)
    fallen = [k for k, row in enumerate(model.tables.discounts.tolist(), 1) if tuple(row) == FALLBACK]

    assert fallen
    assert model.notices[0].startswith(f"order {', '.join(map(str, fallen))}: ")


def test_notice_says_that_the_text_is_shorter_than_the_order():
    ids = np.array([1, 2, 3])
    documents = (ids, np.array([0, 3]), np.array([False]))
    model = fit(NgramConfig(order=9), documents, 5, tokenizer="char", models_ends=False)

    assert "more than 4 tokens" in model.notices[0]


def test_model_without_any_longer_ngram_is_saved_and_says_so(tmp_path, tokens):
    model = fitted_model(3, min_count=10_000)
    path = tmp_path / "model.safetensors"
    path.write_bytes(to_bytes(model.stored_tensors(), "run"))
    loaded = models.build(model.config, 9)
    load_weights(loaded, path, "run")

    assert "occurs 10,000 times" in model.notices[0]
    assert torch.equal(loaded.log_probs(tokens)[0], model.log_probs(tokens)[0])
